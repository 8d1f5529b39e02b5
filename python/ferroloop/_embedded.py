"""A loop inside somebody else's, the host's: that one waits, and has an iteration run when there is something to do.

The names are libuv's (uv_backend_fd, uv_backend_timeout).
"""

from __future__ import annotations

import asyncio

from . import _run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._loop import EventLoop


# Seconds; asyncio's MAXIMUM_SELECT_TIMEOUT.
_LONGEST = 24 * 3600.0


def backend_fd(loop: EventLoop) -> int:
    """Return the descriptor that is readable while the loop has events: epoll(7) or kqueue(2).

    It stays the loop's own and is only to be polled, for reading. Rarely it is replaced, by an iteration that finds
    events of a descriptor that somebody closed without having it removed: whoever keeps the number compares now and
    then.

    Raises RuntimeError if the loop is closed.
    """
    return loop._backend_fd()


def backend_timeout(loop: EventLoop) -> float | None:
    """Return for how many seconds the host may wait for `backend_fd()` before it calls `run_once`.

    0 if there is something to do already, None if only an event can bring something. To ask also says that the host is
    about to wait: from then until the next iteration the descriptor becomes readable with whatever needs one, such as
    `call_soon` and `call_later` in the host's thread, `call_soon_threadsafe` in any, the answer to a name lookup, and a
    signal that has a handler of `add_signal_handler`. So ask after each iteration, and before the first.

    Raises RuntimeError if the loop is closed or running.
    """
    if loop.is_running():
        raise RuntimeError("This event loop is already running")
    return loop._backend_timeout()


def run_once(loop: EventLoop, timeout: float | None = 0) -> bool:
    """Run one iteration, as `run_forever` runs many: wait for events, for at most `timeout` seconds, and call back.

    None waits as long as it takes. Where another loop runs in this thread, this one takes its place for the time being;
    that goes in a callback of the other one, but not in a task. An iteration that does not wait leaves the descriptor
    of `signal.set_wakeup_fd` alone.

    Returns False if `stop()` was called, before the iteration or in it; the next one begins anew. Raises ValueError for
    a negative timeout and for NaN, TypeError for what is no number; RuntimeError if the loop is closed or running, or
    inside a task of another loop. SystemExit and KeyboardInterrupt of callbacks leave it.
    """
    limit = None if timeout is None else _checked(timeout)
    other = asyncio._get_running_loop()
    if other is not None and other is not loop and asyncio.current_task(other) is not None:
        raise RuntimeError("Cannot run an iteration in a task of another event loop")
    try:
        asyncio._set_running_loop(None)
        _run.set_up(loop, sleeps=limit != 0)
        try:
            loop._run_once(limit)
            return not loop._stopping
        finally:
            _run.tear_down(loop)
    finally:
        asyncio._set_running_loop(other)


def _checked(timeout: float) -> float:
    if not timeout >= 0:
        raise ValueError(f"an iteration waits for 0 seconds or more, got {timeout!r}")
    return float(min(timeout, _LONGEST))
