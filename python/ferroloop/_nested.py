"""Nested runs: synchronous code that the loop is running has it run on, and waits for a future."""

from __future__ import annotations

import asyncio
import sys
from functools import partial

from ._run import complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator
    from typing import Any, TypeVar

    from ._loop import EventLoop

    _T = TypeVar("_T")
    _Task = asyncio.Task[Any] | None


def run_nested(loop: EventLoop, future: Generator[Any, None, _T] | Awaitable[_T]) -> _T:
    """Run the running loop on until `future` is done and return its result or raise its exception.

    To be called by code that this loop is running, in its thread: a synchronous function that a coroutine has called
    and that needs another coroutine's result. A coroutine is made a task first. The caller and whoever called it, up to
    the loop, wait; everything else goes on. Where there is no synchronous function in between, `await`.

    Raises RuntimeError if the loop is not running, if it is not the one that runs in this thread, if it is stopped
    first, or for the task that is calling; TypeError if `future` cannot be awaited, ValueError if it belongs to another
    loop. SystemExit and KeyboardInterrupt of callbacks leave the nested run as they leave `run_forever`.
    """
    loop._check_closed()
    _check_running(loop)
    if future is not None and future is asyncio.current_task(loop):
        raise RuntimeError(f"Task cannot await on itself: {future!r}")
    ended: list[asyncio.Future[_T]] = []
    return complete(loop, future, ended.append, partial(_iterate, loop, ended))


def set_nested(loop: EventLoop, enabled: bool) -> None:
    """Choose whether `run_until_complete` of this loop, while the loop is running, runs it nested.

    It does not unless told to, and raises RuntimeError as asyncio's does. This is for libraries that call it; code of
    one's own calls `run_nested`.
    """
    loop._nested = bool(enabled)


def get_nested(loop: EventLoop) -> bool:
    """Return whether `run_until_complete` runs nested while this loop is running."""
    return loop._nested


def _check_running(loop: EventLoop) -> None:
    if not loop.is_running():
        raise RuntimeError("This event loop is not running")
    if asyncio._get_running_loop() is not loop:
        raise RuntimeError("This event loop is not the one that runs in this thread")


def _iterate(loop: EventLoop, ended: list[asyncio.Future[Any]]) -> None:
    """Until something has ended; no task is the current one meanwhile, as others are to take their steps."""
    caller = asyncio.current_task(loop)
    try:
        if caller is not None:  # else there is nothing to swap, and 3.12 says so with a KeyError
            _swap_current_task(loop, None)
        loop._iterate_nested(ended)
    finally:
        if caller is not None:
            _swap_current_task(loop, caller)
        # The traceback of an exception leads here, also by the frame that the nested task was called from.
        ended.clear()
        del caller


if sys.version_info >= (3, 12):
    from asyncio.tasks import _swap_current_task  # type: ignore[attr-defined]
else:

    def _swap_current_task(loop: EventLoop, task: _Task) -> None:
        current = asyncio.current_task(loop)
        if current is not None:
            asyncio.tasks._leave_task(loop, current)
        if task is not None:
            asyncio.tasks._enter_task(loop, task)
