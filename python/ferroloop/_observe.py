"""What a loop has done and what it holds, as numbers and as text."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading

from ._compat import has_gil

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, TextIO

    from ._ferroloop import TimerHandle, _Distribution, _Stats
    from ._loop import EventLoop


def stats(loop: EventLoop) -> _Stats:
    """Return what the loop has done so far and has to do now, by name.

    `iterations`, `callbacks`: how many there have been; an event of a transport is a callback as well.
    `waits`, `idle`: how often the loop had nothing to do, and for how many seconds in all.
    `ready`, `timers`, `descriptors`, `lookups`: how many callbacks are queued, timers are set, descriptors are watched,
    and calls wait for a name to be looked up.
    `lateness`: how late timers were put into the queue, as a dict. `count` is how many have been, `sum` and `max` are
    by how many seconds they were late in all and at most, and `buckets` is a list of pairs: a number of seconds, and
    how many were late by less. The last pair is of infinity, so of all. A timer is late from its deadline on; one
    whose deadline had passed already when it was made, from the last time that the loop looked at its timers, or slept
    without any. A loop that does not run is not late, and cancelled timers do not count.
    `busy`: for how long the loop was at work, from one wait to the next, as a dict of the same kind. What happens in
    the meantime waits for as long as that at most. The work under way does not count yet.

    The loop counts always. May be called from any thread; a closed loop has forgotten everything.
    """
    return loop._stats()


def dump(loop: EventLoop, file: TextIO | None = None) -> None:
    """Write what the loop holds to `file` (default: `sys.stderr`), in one piece.

    That is its numbers (`stats`), the task at work, the callbacks in the queue, the timers, the descriptors with whom
    they are watched for, the servers that listen with their numbers, and the handlers of signals: a line for each.

    May be called from any thread and at any time. Things that their owners give up just then die in the thread that
    calls this. Raises what `file.write` raises.
    """
    text = "".join(f"{line}\n" for line in _lines(loop))
    (sys.stderr if file is None else file).write(text)


def _lines(loop: EventLoop) -> Iterator[str]:
    inventory = loop._inventory()
    stats: dict[str, Any] = {**loop.stats()}
    lateness, busy = stats.pop("lateness"), stats.pop("busy")
    yield repr(loop)
    yield _numbers(stats)
    if lateness["count"]:
        yield f"timers late, in ms: {_distribution(lateness)}"
    if busy["count"]:
        yield f"busy between waits, in ms: {_distribution(busy)}"
    if (task := asyncio.current_task(loop)) is not None:
        yield f"task {running_task_text(loop, task)}"
    for subject in inventory["ready"]:
        yield f"ready {_text(subject)}"
    now = loop.time()
    for timer in sorted(inventory["timers"], key=_when):
        yield f"timer in {timer.when() - now:.3f} s {_text(timer)}"
    for fd, part, subject in inventory["watched"]:
        yield f"descriptor {fd} {part} {_text(subject() if part == 'idle' else subject)}"
    for server in dict.fromkeys(subject._server for _, part, subject in inventory["watched"] if part == "listener"):
        yield f"server {_numbers(server.stats())} {_text(server)}"
    for number, handle in list(loop._signal_handlers.items()):
        yield f"signal {_signal_name(number)} {_text(handle)}"


def _numbers(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {number:g}" for name, number in numbers.items())


def _distribution(durations: _Distribution) -> str:
    """How many are in each bucket that has any, in milliseconds."""
    texts = []
    before = 0
    for bound, below in durations["buckets"]:
        if below > before:
            texts.append(f"{below - before} below {bound * 1000:g}")
        before = below
    mean = durations["sum"] / durations["count"]
    return f"{', '.join(texts)}; {mean * 1000:.3f} on average, {durations['max'] * 1000:.3f} at most"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time signals have none
        return str(number)


def _when(timer: TimerHandle) -> float:
    return timer.when()


def running_task_text(loop: EventLoop, task: asyncio.Task[Any]) -> str:
    """The repr of the task that `loop` runs at the moment.

    Where there is no GIL other threads do without the line that it is at: CPython does not make it safe to look at a
    frame that runs.
    """
    if has_gil() or loop._thread_id in {None, threading.get_ident()}:
        return _text(task)
    coro = task.get_coro()
    return f"<{type(task).__name__} name={task.get_name()!r} coro=<{getattr(coro, '__qualname__', coro)}()>>"


def _text(subject: object) -> str:
    """Its repr; one that fails is not to end the whole."""
    try:
        return repr(subject)
    except Exception as exc:
        return f"<{type(subject).__name__}, whose repr fails with {exc!r}>"
