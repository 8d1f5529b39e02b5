"""Entry points: run a program on ferroloop (asyncio: Runners)."""

from __future__ import annotations

import asyncio

from ._loop import EventLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, TypeVar

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
