"""Running, stopping and closing the loop (asyncio: Running and stopping the loop)."""

from __future__ import annotations

import asyncio
import sys
import threading

# This very function object is how anyio finds the root task of a loop among a task's callbacks.
from asyncio.base_events import _run_until_complete_cb  # type: ignore[attr-defined]
from asyncio.log import logger

from . import _ferroloop
from ._executor import abandon_threads
from ._finalize import note_run
from ._signals import give_wakeup_fd_back, remove_signal_handlers, take_wakeup_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from typing import Any, TypeVar

    from ._loop import EventLoop

    _T = TypeVar("_T")


class Outside:
    """What a run replaces in its thread, to be put back afterwards.

    Things are noted before they are replaced and forgotten after they were put back, since a KeyboardInterrupt may
    come at any time.
    """

    def __init__(self) -> None:
        self.asyncgen_hooks = sys.get_asyncgen_hooks()
        self.took_wakeup_fd = False


def run_forever(loop: EventLoop) -> None:
    """Run until `stop()` is called.

    Raises RuntimeError if the loop is closed or running, or if another loop runs in this thread. SystemExit and
    KeyboardInterrupt of callbacks leave it; the loop can be run again.
    """
    loop._run_forever_setup()
    try:
        loop._iterate()
    finally:
        loop._run_forever_cleanup()


def run_until_complete(loop: EventLoop, future: Generator[Any, None, _T] | Awaitable[_T]) -> _T:
    """Run until `future` is done and return its result or raise its exception. A coroutine is made a task first.

    Raises what `run_forever` raises, TypeError if `future` cannot be awaited, ValueError if it belongs to another
    loop, RuntimeError if the loop is stopped first. After `set_nested(True)` a running loop is run nested.
    """
    loop._check_closed()
    if loop._nested and asyncio._get_running_loop() is loop:
        return loop.run_nested(future)
    _check_not_running(loop)
    return complete(loop, future, _run_until_complete_cb, loop.run_forever)


def complete(
    loop: EventLoop,
    future: Generator[Any, None, _T] | Awaitable[_T],
    end: Callable[[asyncio.Future[_T]], object],
    run: Callable[[], None],
) -> _T:
    """Have `run` complete `future`, which calls `end` then."""
    own_task = not asyncio.isfuture(future)
    awaited: asyncio.Future[_T] = asyncio.ensure_future(future, loop=loop)  # type: ignore[arg-type]
    if own_task:
        # If it is left pending, the caller hears of it from the error raised below.
        awaited._log_destroy_pending = False  # type: ignore[attr-defined]
    awaited.add_done_callback(end)
    try:
        run()
    except BaseException:
        if own_task and awaited.done() and not awaited.cancelled():
            awaited.exception()  # retrieved: nobody else can, so its loss is not worth a log message
        raise
    finally:
        awaited.remove_done_callback(end)
        if own_task and loop.is_running():
            awaited.cancel()  # a nested run that did not complete it: the loop goes on, and nobody waits for it
    if not awaited.done():
        raise RuntimeError("Event loop stopped before Future completed.")
    try:
        return awaited.result()
    finally:
        del awaited  # the traceback of its exception leads to this frame


def _run_forever_setup(loop: EventLoop) -> None:
    """Make this the running loop of the thread; for loops that are driven from a GUI toolkit's."""
    set_up(loop)


def set_up(loop: EventLoop, *, sleeps: bool = True) -> None:
    """Begin a run. Nothing has changed if a check fails, or a KeyboardInterrupt comes in between.

    A run that never `sleeps` has no need of the wakeup descriptor. It is better left alone by somebody else's loop: a
    signal that came while it is ours would be lost for whoever had it before.
    """
    loop._check_closed()
    _check_not_running(loop)
    _log_first_start(loop)
    try:
        loop._outside = Outside()
        if sleeps:
            take_wakeup_fd(loop, loop._outside)
        loop._custom_clock = has_custom_clock(loop)
        note_run(loop)
        loop._begin_run(threading.get_ident())
        loop._set_coroutine_origin_tracking(loop.get_debug())
        sys.set_asyncgen_hooks(firstiter=loop._asyncgen_firstiter_hook, finalizer=loop._asyncgen_finalizer_hook)
        asyncio._set_running_loop(loop)
        if loop._watchdog_limit:
            loop._start_watchdog()
    except BaseException:
        loop._run_forever_cleanup()
        raise


def _run_forever_cleanup(loop: EventLoop) -> None:
    """Undo `_run_forever_setup`; for loops that are driven from a GUI toolkit's."""
    tear_down(loop)


def tear_down(loop: EventLoop) -> None:
    """Undo `set_up`, and forget a request to stop."""
    loop._end_run()
    _put_back(loop)


def _put_back(loop: EventLoop) -> None:
    loop._set_coroutine_origin_tracking(False)
    outside = loop._outside
    if outside is not None:
        sys.set_asyncgen_hooks(*outside.asyncgen_hooks)
        if outside.took_wakeup_fd:
            give_wakeup_fd_back(loop)
        loop._outside = None
    if loop._watchdog is not None:
        loop._stop_watchdog()


def close(loop: EventLoop) -> None:
    """Close the loop for good: drop all callbacks unrun, leave the executors' threads to themselves.

    Raises RuntimeError if the loop is running. Closing twice is fine.
    """
    if loop.is_running():
        raise RuntimeError("Cannot close a running event loop")
    if loop.is_closed():
        return
    if loop.get_debug():
        logger.debug("Close %r", loop)
    try:
        # Before the pipe that signals write to is gone and its number another's. A run that was interrupted on its
        # way out has left that to us.
        remove_signal_handlers(loop)
        _put_back(loop)
    finally:
        loop._release()
        loop._executor_shutdown_called = True
        executor, loop._default_executor = loop._default_executor, None
        if executor is not None:
            executor.shutdown(wait=False)
        abandon_threads(loop)


def has_custom_clock(loop: EventLoop) -> bool:
    """Whether `time()` was overridden, by a subclass or on the instance."""
    return "time" in vars(loop) or type(loop).time is not _ferroloop.EventLoop.time


def _check_not_running(loop: EventLoop) -> None:
    if loop.is_running():
        raise RuntimeError("This event loop is already running")
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("Cannot run the event loop while another loop is running")


def _log_first_start(loop: EventLoop) -> None:
    """Which loop serves a program must not be a riddle: say so once per loop."""
    if not loop._started:
        loop._started = True
        logger.debug("ferroloop %s: event loop started on %s", _ferroloop.__version__, _ferroloop.BACKEND)
