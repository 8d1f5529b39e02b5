"""Entry points: run a program on ferroloop (asyncio: Runners)."""

import asyncio
import sys
import warnings
from collections.abc import Coroutine
from typing import Any, TypeVar

from ._loop import EventLoop

_T = TypeVar("_T")


def new_event_loop() -> EventLoop:
    """Return a new event loop; made to be a `loop_factory`."""
    return EventLoop()


def run(main: Coroutine[Any, Any, _T], *, debug: bool | None = None) -> _T:
    """Run the coroutine on a new loop, close the loop, and return the result: `asyncio.run` on ferroloop.

    `debug` sets the loop's debug mode, None leaves it to the environment. Raises RuntimeError if a loop is running in
    this thread.
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("ferroloop.run() cannot be called from a running event loop")
    with asyncio.Runner(debug=debug, loop_factory=new_event_loop) as runner:
        return runner.run(main)


if sys.version_info < (3, 16):
    from ._policy import EventLoopPolicy, set_policy

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
