"""`python -m ferroloop top PID`: what the loops of another process do, in numbers, again and again."""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import socket
import sys
from functools import partial

import ferroloop

from . import argument_types, remote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any, TypeAlias

    # A loop's number, its thread's name, and its stats, of the histograms how many there were below each bound.
    _Loop: TypeAlias = tuple[int, str, dict[str, Any]]
    _Sample: TypeAlias = tuple[float, list[_Loop]]

_ABOUT = """\
Print what the event loops of a running process do, a line for each loop and interval: how busy it was, its iterations
and callbacks per second, what it has to do now, and the time that 99 % of the work between two waits, and the delays of
99 % of the timers, stayed below. A thread of the process tells, until this command ends."""

_TITLES = ("thread", "busy", "iter/s", "calls/s", "ready", "timers", "fds", "lookups", "work ms", "late ms")
_LINE = "{:<14.14} {:>5} {:>9} {:>9} {:>6} {:>7} {:>6} {:>7} {:>8} {:>8}"


def main(arguments: list[str]) -> int:
    """Print until the process or the user has enough. The exit status is 1 if the process does not answer."""
    options = _options(arguments)
    return remote.exit_status("top", partial(_top, options))


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = remote.new_parser("top", _ABOUT)
    parser.add_argument(
        "--every",
        type=argument_types.seconds,
        default=1,
        metavar="SECONDS",
        help="between two lines (default: %(default)s)",
    )
    parser.add_argument(
        "--count", type=argument_types.number, metavar="N", help="of intervals (default: until it is interrupted)"
    )
    return parser.parse_args(arguments)


def _top(options: argparse.Namespace) -> None:
    try:
        with _connected(options) as told:
            _follow(told, options.pid, options.count)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Nobody reads any more: Python would complain when it flushes what is left ("Note on SIGPIPE" in `signal`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _follow(told: socket.socket, pid: int, count: int | None) -> None:
    bounds, before, shown = _bounds(), None, 0
    for sample in _samples(told):
        if before is None:
            print(_LINE.format(*_TITLES), flush=True)
        else:
            print(*_lines(before, sample, bounds), sep="\n", flush=True)
            shown += 1
            if shown == count:
                return
        before = sample
    print(f"Process {pid} has ended, or has no open loop any more.")


def _connected(options: argparse.Namespace) -> socket.socket:
    """What the process tells through."""
    with remote.private_directory() as directory, socket.socket(socket.AF_UNIX) as listener:
        path = directory / "socket"
        _listen(listener, path)
        remote.have_it_look(options.pid, directory, f"follow({str(path)!r}, {options.every!r})", path)
        return remote.wait_for(partial(_accepted, listener), options.pid, options.timeout)


def _listen(listener: socket.socket, path: Path) -> None:
    try:
        listener.bind(str(path))
    except OSError as exc:  # the path may be too long
        raise remote.Failure(f"There can be no socket {path}: {exc}. Set TMPDIR to another directory.") from None
    listener.listen()
    listener.setblocking(False)


def _accepted(listener: socket.socket) -> socket.socket | None:
    try:
        connection = listener.accept()[0]
    except BlockingIOError:
        return None
    connection.setblocking(True)
    return connection


def _samples(told: socket.socket) -> Iterator[_Sample]:
    with told.makefile(encoding="utf-8") as lines:
        for line in lines:
            sample = ast.literal_eval(line)
            if isinstance(sample, str):
                raise remote.Failure(sample)
            yield sample


def _bounds() -> list[float]:
    """Those of the histograms, the same for all, in seconds."""
    with contextlib.closing(ferroloop.new_event_loop()) as loop:
        return [bound for bound, _ in loop.stats()["busy"]["buckets"]]


def _lines(before: _Sample, after: _Sample, bounds: list[float]) -> Iterator[str]:
    """One of each loop that there was before."""
    seconds = after[0] - before[0]
    earlier = {number: stats for number, _, stats in before[1]}
    for number, thread, stats in after[1]:
        if number in earlier:
            runs = bool(thread) or stats["iterations"] > earlier[number]["iterations"]
            busy = _busy(seconds, earlier[number], stats) if runs else "-"
            yield _LINE.format(thread or "-", busy, *_cells(seconds, earlier[number], stats, bounds))


def _busy(seconds: float, before: dict[str, Any], after: dict[str, Any]) -> str:
    busy = 1 - (after["idle"] - before["idle"]) / seconds
    return f"{min(max(busy, 0), 1):.0%}"


def _cells(seconds: float, before: dict[str, Any], after: dict[str, Any], bounds: list[float]) -> Iterator[str]:
    for name in "iterations", "callbacks":
        yield f"{(after[name] - before[name]) / seconds:.0f}"
    for name in "ready", "timers", "descriptors", "lookups":
        yield f"{after[name]}"
    for name in "busy", "lateness":
        yield _most(before[name], after[name], bounds)


def _most(before: list[int], after: list[int], bounds: list[float]) -> str:
    """Below how many milliseconds 99 % of what came between are."""
    added = [later - earlier for earlier, later in zip(before, after, strict=True)]
    if not added[-1]:
        return "-"
    bound = next(bound for bound, count in zip(bounds, added, strict=True) if count >= 0.99 * added[-1])
    return f"{bound * 1000:g}"
