"""The event loop policy, for Pythons that have policies (asyncio: Policies)."""

import sys
import threading
from asyncio import AbstractEventLoop, events

from ._loop import EventLoop
from ._watchers import WatcherSlot

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

    _loop_factory = EventLoop

    def set_event_loop(self, loop: AbstractEventLoop | None) -> None:
        """Make `loop` the thread's loop and, in the main thread, attach the child watcher to it if there is one."""
        super().set_event_loop(loop)
        if self._watcher is not None and threading.current_thread() is threading.main_thread():
            self._watcher.attach_loop(loop)
