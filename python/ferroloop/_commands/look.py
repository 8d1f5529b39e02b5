"""What `dump` and `top` have another process run: it tells of the loops there, once or again and again.

The source of this module is run in the main thread of that process, between two steps of its program, as the handler
of a signal is. So it imports nothing that asyncio has not imported already, but for `gc`, which is built in, and lets
no error out.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
import threading
import time
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

    from .._loop import EventLoop

# The last character of an answer, and of a complete one only.
END = "\0"


def report(path: str) -> None:
    """Write the answer into the file; if there is none any more, nobody waits for it."""
    try:
        with open(os.open(path, os.O_WRONLY), "w", encoding="utf-8", errors="backslashreplace") as file:
            for text in _texts():
                file.write(text.replace(END, r"\0"))
            file.write(END)
    except OSError:
        pass


def follow(path: str, interval: float) -> None:
    """Have a thread tell whoever listens at `path` the numbers of the loops, as long as somebody does."""
    thread = threading.Thread(target=_tell, args=(path, interval), name="ferroloop-top", daemon=True)
    with contextlib.suppress(RuntimeError):  # no more threads: then nobody answers
        thread.start()


class _Nothing(Exception):
    """There is no loop. The text says so."""


def _open_loops() -> list[EventLoop]:
    """Those of all threads, running or not.

    What is no loop is not asked for anything but its type: proxies and lazy objects stay as they are.
    """
    package = sys.modules.get("ferroloop")
    if package is None:
        raise _Nothing("The process has not imported ferroloop.")
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), package.EventLoop)]
    if loops := [loop for loop in found if not loop.is_closed()]:
        return loops
    raise _Nothing("The process has no open loop of ferroloop's.")


def _why(exc: Exception) -> str:
    """There is nothing, or no more, to tell: the program's own classes may fail as well."""
    return str(exc) if isinstance(exc, _Nothing) else f"Looking failed with {exc!r}"


def _texts() -> Iterator[str]:
    try:
        for loop in _open_loops():
            yield from _about(loop)
    except Exception as exc:
        yield f"{_why(exc)}\n"


def _about(loop: EventLoop) -> Iterator[str]:
    loop.dump(pieces := _Pieces())  # type: ignore[arg-type]  # all that it does is write
    yield from pieces
    if loop._thread_id is not None:
        yield f"Its thread (most recent call last):\n{_stack(loop._thread_id)}"


class _Pieces(list[str]):
    """The file that a dump is written to."""

    def write(self, text: str) -> None:
        self.append(text)


def _stack(thread_id: int) -> str:
    frame: FrameType | None = sys._current_frames().get(thread_id)
    if thread_id == threading.get_ident():
        while frame is not None and frame.f_globals is globals():  # not the program's
            frame = frame.f_back
    lines = []
    while frame is not None:
        # Without the line's text: linecache would import a module to read it.
        lines.append(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno}, in {frame.f_code.co_name}\n')
        frame = frame.f_back
    return "".join(lines[::-1])


def _tell(path: str, interval: float) -> None:
    """Python literals, one in a line: when and what of each loop, or a text that says why there is nothing to tell.

    Loops that are made later are not among them, and none is kept from being given up.
    """
    # Whoever listens may go at any time. That is to be no signal, which the program may have let end it.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as teller:
        teller.connect(path)
        for sample in _samples(interval):
            teller.sendall(f"{sample!r}\n".encode(), getattr(socket, "MSG_NOSIGNAL", 0))


def _samples(interval: float) -> Iterator[Any]:
    try:
        loops = [weakref.ref(loop) for loop in _open_loops()]
        while told := _of_all(loops):
            yield time.monotonic(), told
            time.sleep(interval)
    except Exception as exc:
        yield _why(exc)


def _of_all(loops: list[weakref.ref[EventLoop]]) -> list[tuple[int, str, dict[str, Any]]]:
    """Of those that are still open: which loop, in which thread, and its numbers."""
    threads = {thread.ident: thread.name for thread in threading.enumerate()}
    there = [loop for ref in loops if (loop := ref()) is not None and not loop.is_closed()]
    return [(id(loop), threads.get(loop._thread_id, ""), _numbers(loop)) for loop in there]


def _numbers(loop: EventLoop) -> dict[str, Any]:
    """Its stats; of the histograms only how many there were below each bound."""
    numbers: dict[str, Any] = {**loop.stats()}
    for name, value in numbers.items():
        if isinstance(value, dict):
            numbers[name] = [below for _, below in value["buckets"]]
    return numbers
