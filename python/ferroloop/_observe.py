"""What a loop has done and what it holds, as numbers and as text."""

from __future__ import annotations

import asyncio
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from ._ferroloop import TimerHandle
    from ._loop import EventLoop


def stats(loop: EventLoop) -> dict[str, float]:
    """Return what the loop has done so far and has to do now, by name.

    `iterations`, `callbacks`: how many there have been; an event of a transport is a callback as well.
    `waits`, `idle`: how often the loop had nothing to do, and for how many seconds in all.
    `ready`, `timers`, `descriptors`, `lookups`: how many callbacks are queued, timers are set, descriptors are watched
    and names are being looked up.

    The loop counts always. May be called from any thread; a closed loop has forgotten everything.
    """
    return loop._stats()


def dump(loop: EventLoop, file: TextIO | None = None) -> None:
    """Write what the loop holds to `file` (default: `sys.stderr`), in one piece.

    That is its numbers (`stats`), the task at work, the callbacks in the queue, the timers, the descriptors with whom
    they are watched for, and the handlers of signals: a line for each.

    May be called from any thread and at any time. Things that their owners give up just then die in the thread that
    calls this. Raises what `file.write` raises.
    """
    text = "".join(f"{line}\n" for line in _lines(loop))
    (sys.stderr if file is None else file).write(text)


def _lines(loop: EventLoop) -> Iterator[str]:
    inventory = loop._inventory()
    yield repr(loop)
    yield ", ".join(f"{name} {number:g}" for name, number in loop.stats().items())
    if (task := asyncio.current_task(loop)) is not None:
        yield f"task {_text(task)}"
    for subject in inventory["ready"]:
        yield f"ready {_text(subject)}"
    now = loop.time()
    for timer in sorted(inventory["timers"], key=_when):
        yield f"timer in {timer.when() - now:.3f} s {_text(timer)}"
    for fd, part, subject in inventory["watched"]:
        yield f"descriptor {fd} {part} {_text(subject() if part == 'idle' else subject)}"
    for number, handle in list(loop._signal_handlers.items()):
        yield f"signal {_signal_name(number)} {_text(handle)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time signals have none
        return str(number)


def _when(timer: TimerHandle) -> float:
    return timer.when()


def _text(subject: object) -> str:
    """Its repr; one that fails is not to end the whole."""
    try:
        return repr(subject)
    except Exception as exc:
        return f"<{type(subject).__name__}, whose repr fails with {exc!r}>"
