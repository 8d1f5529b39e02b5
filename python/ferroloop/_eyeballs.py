"""Happy Eyeballs (RFC 8305): which address to try next, and when."""

from __future__ import annotations

import asyncio
import itertools
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from typing import Any, TypeAlias, TypeVar

    from ._loop import EventLoop
    from ._resolve import AddressInfo

    _T = TypeVar("_T")
    _Tasks: TypeAlias = set[asyncio.Task[_T]]


def interleave_addrinfos(infos: Sequence[AddressInfo], first_family_count: int) -> list[AddressInfo]:
    """Take turns between the address families, after `first_family_count - 1` more of the first one."""
    by_family: dict[int, list[AddressInfo]] = {}
    for info in infos:
        by_family.setdefault(info[0], []).append(info)
    first, *others = by_family.values()
    head = max(first_family_count - 1, 0)
    turns = itertools.zip_longest(first[head:], *others)
    return first[:head] + [info for turn in turns for info in turn if info is not None]


async def race(
    loop: EventLoop,
    attempts: Iterable[Callable[[], Coroutine[Any, Any, _T]]],
    delay: float,
    discard: Callable[[_T], object],
) -> _T | None:
    """Run attempts with staggered starts; return the result of the first to succeed, None if all failed.

    The next attempt starts when the latest one fails, or `delay` seconds after its start. To fail is to raise OSError;
    any other error is a mistake in the attempt, ends the race and is raised.

    Every attempt has ended when this returns or raises, also when it is cancelled; if the coroutine is closed, they are
    cancelled. An attempt that succeeds too late has its result passed to `discard`.
    """
    running: _Tasks[_T] = set()
    decided = None
    try:
        decided = await _decision(loop, attempts, delay, running)
    except GeneratorExit:
        _abandon(running, discard)
        raise
    finally:
        losers = running - {decided}
        running.clear()
        interruption = await _end(losers, discard)
        if interruption is not None:
            if decided is not None:
                _discard_success(decided, discard)
            raise interruption
    try:
        return None if decided is None else _outcome(decided)
    finally:
        # An error leads from its traceback to this frame, and from the task back to the error.
        del decided, losers, interruption


async def _decision(
    loop: EventLoop, attempts: Iterable[Callable[[], Coroutine[Any, Any, _T]]], delay: float, running: _Tasks[_T]
) -> asyncio.Task[_T] | None:
    """Start the attempts in turn; the first that succeeded or failed for good, None if all just failed."""
    for attempt in attempts:
        latest = loop.create_task(attempt())
        running.add(latest)
        deadline = loop.time() + delay
        while latest in running and (left := deadline - loop.time()) > 0:
            decided = await _next_ended(running, left)
            if decided is not None:
                return decided
    while running:
        decided = await _next_ended(running, None)
        if decided is not None:
            return decided
    return None


async def _next_ended(running: _Tasks[_T], timeout: float | None) -> asyncio.Task[_T] | None:
    """Wait until an attempt ends or `timeout` seconds are over; drop those that failed, return one that decides."""
    ended, _ = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for task in ended:
        if not task.cancelled() and not isinstance(task.exception(), OSError):
            return task
        running.discard(task)
    return None


async def _end(losers: _Tasks[_T], discard: Callable[[_T], object]) -> asyncio.CancelledError | None:
    """Cancel the attempts and wait for their end; return the caller's own cancellation, if one came meanwhile."""
    interruption = None
    for task in losers:
        task.cancel()
    while pending := [task for task in losers if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as exc:
            interruption = exc
    for task in losers:
        _discard_success(task, discard)
    return interruption


def _abandon(losers: _Tasks[_T], discard: Callable[[_T], object]) -> None:
    """Cancel the attempts where nobody may wait any more."""
    for task in losers:
        task.add_done_callback(lambda task: _discard_success(task, discard))
        task.cancel()
    losers.clear()


def _discard_success(task: asyncio.Task[_T], discard: Callable[[_T], object]) -> None:
    if not task.cancelled() and task.exception() is None:
        discard(task.result())


def _outcome(decided: asyncio.Task[_T]) -> _T:
    try:
        if sys.version_info >= (3, 14) and (error := decided.exception()) is not None:
            raise BaseExceptionGroup("staggered race failed", [error])
        return decided.result()
    finally:
        del decided
