"""What `python -m ferroloop dump` has another process run: it tells of the loops there, as text.

The source of this module is run in the main thread of that process, between two steps of its program, as the handler
of a signal is. So it imports nothing that asyncio has not imported already, but for `gc`, which is built in, and lets
no error out.
"""

from __future__ import annotations

import gc
import os
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, ModuleType

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


def _texts() -> Iterator[str]:
    package = sys.modules.get("ferroloop")
    if package is None:
        yield "The process has not imported ferroloop.\n"
        return
    try:
        loops = _open_loops(package)
        if not loops:
            yield "The process has no open loop of ferroloop's.\n"
        for loop in loops:
            yield from _about(loop)
    except Exception as exc:
        yield f"Looking failed with {exc!r}\n"


def _open_loops(package: ModuleType) -> list[EventLoop]:
    """Those of all threads, running or not.

    What is no loop is not asked for anything but its type: proxies and lazy objects stay as they are.
    """
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), package.EventLoop)]
    return [loop for loop in found if not loop.is_closed()]


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
