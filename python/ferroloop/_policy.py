"""The event loop policy, for Pythons that have policies (asyncio: Policies)."""

from __future__ import annotations

import sys
import threading
import warnings
from asyncio import events

from ._loop import EventLoop
from ._watchers import WatcherSlot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

if sys.version_info >= (3, 14):
    # The public names warn of their removal.
    _Base = events._BaseDefaultEventLoopPolicy
    set_policy = events._set_event_loop_policy
else:
    _Base = events.BaseDefaultEventLoopPolicy
    set_policy = events.set_event_loop_policy


class EventLoopPolicy(WatcherSlot, _Base):
    """Makes ferroloop the loop of `asyncio.run`, `asyncio.new_event_loop` and the like, and keeps a child watcher.

    Everything else, such as when `get_event_loop` makes a loop, is the running Python's own rule.
    """

    __module__ = "ferroloop"

    _loop_factory = EventLoop

    def set_event_loop(self, loop: AbstractEventLoop | None) -> None:
        """Make `loop` the thread's loop and, in the main thread, attach the child watcher to it if there is one."""
        super().set_event_loop(loop)
        if self._watcher is not None and threading.current_thread() is threading.main_thread():
            self._watcher.attach_loop(loop)


DefaultEventLoopPolicy = EventLoopPolicy


def install() -> None:
    """Make ferroloop the loop that asyncio gives whoever asks for one, by way of the policy.

    Python 3.14 deprecates policies and 3.16 has none; `run` and `loop_factory` do without.
    """
    if sys.version_info >= (3, 14):
        warnings.warn(
            "ferroloop.install() sets an event loop policy, and Python 3.16 removes those; "
            "use ferroloop.run() or asyncio.Runner(loop_factory=ferroloop.new_event_loop)",
            DeprecationWarning,
            stacklevel=2,
        )
    set_policy(EventLoopPolicy())  # type: ignore[abstract, unused-ignore]  # child watchers: not here yet
