"""Having another process run code of ours, between two steps of its program (PEP 768): for `dump` and `top`."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from . import argument_types, look
from .nudge import nudge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    _T = TypeVar("_T")

_TOO_OLD = """\
{} needs Python 3.14 or newer, here and in the process. Before that, have the program call loop.dump() in a handler
of a signal: see "What it holds" in docs/operating.md."""

# Seconds between two looks for an answer.
_PAUSE = 0.05


class Failure(Exception):
    """Told to the user as it is."""


def exit_status(name: str, command: Callable[[], None]) -> int:
    """Run the command of that name, which may raise a Failure."""
    try:
        if sys.version_info < (3, 14):
            raise Failure(_TOO_OLD.format(name))
        command()
    except Failure as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def new_parser(name: str, about: str) -> argparse.ArgumentParser:
    """Of the arguments that all these commands have: PID and `--timeout`."""
    parser = argparse.ArgumentParser(prog=f"python -m ferroloop {name}", description=about)
    parser.add_argument("pid", type=argument_types.number, metavar="PID", help="of the process")
    parser.add_argument(
        "--timeout",
        type=argument_types.seconds,
        default=5,
        metavar="SECONDS",
        help="to wait for it (default: %(default)s)",
    )
    return parser


@contextlib.contextmanager
def private_directory() -> Iterator[Path]:
    """One that is gone afterwards, with all that is in it."""
    directory = Path(tempfile.mkdtemp(prefix="ferroloop-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def have_it_look(pid: int, directory: Path, call: str, answer: Path) -> None:
    """Have the process run the call of a function in `look`, which may use `answer`. Both are in the directory."""
    check_existence(pid)
    script = directory / "look.py"
    script.write_text(f"{inspect.getsource(look)}\n\n{call}\n", encoding="utf-8")
    _give(pid, script, answer, directory)
    _execute(pid, script)


def check_existence(pid: int) -> None:
    """Raises Failure if there is no such process."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        raise Failure(f"There is no process {pid}.") from None
    except PermissionError:
        pass


def _give(pid: int, *paths: Path) -> None:
    """Let the process use the files, the first of which it has to see: root looks into other users' processes, too."""
    if sys.platform != "linux":
        return
    process = Path("/proc", str(pid))
    try:
        if not (process / f"root{paths[0]}").samefile(paths[0]):
            raise FileNotFoundError
        effective = _effective_user(process)
        if effective != os.geteuid():
            for path in paths:
                os.chown(path, effective, -1)
    except FileNotFoundError:
        raise Failure(
            f"Process {pid} does not see {tempfile.gettempdir()} as it is here. It may run in a container: run this "
            "command in there. Or set TMPDIR to a directory that it sees."
        ) from None
    except PermissionError:
        raise Failure(_forbidden(pid)) from None


def _effective_user(process: Path) -> int:
    """By proc_pid_status(5). The owner of the directory is root where a process has changed its user."""
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[2]) for line in lines if line.startswith("Uid:"))


def _forbidden(pid: int) -> str:
    return (
        f"The system does not let this user look into process {pid}. It lets the user of that process, root, and "
        "whoever has CAP_SYS_PTRACE; some systems only the last two (ptrace(2), ptrace_scope)."
    )


def _execute(pid: int, script: str | Path) -> None:
    try:
        sys.remote_exec(pid, str(script))  # type: ignore[attr-defined, unused-ignore]  # 3.14 and later
    except PermissionError:
        raise Failure(_forbidden(pid)) from None
    except (OSError, RuntimeError) as exc:
        raise Failure(
            f"Process {pid} cannot be looked into: {exc.__cause__ or exc}. It has to be a CPython of the same version "
            f"as this one, {platform.python_version()}, with remote debugging enabled."
        ) from None


def wait_for(answered: Callable[[], _T | None], pid: int, timeout: float) -> _T:
    """What `answered` returns as soon as the process has done what it was asked for."""
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            nudge(pid, _PAUSE)
            time.sleep(_PAUSE)
            if (answer := answered()) is not None:
                return answer
            check_existence(pid)
        raise Failure(
            f"The main thread of process {pid} has not run any Python code for {timeout:g} seconds: it waits for a "
            "lock or in a system call, computes in C, or the process is stopped. What it was to run has been taken "
            "back."
        )
    except BaseException:
        _withdraw(pid)
        raise


def _withdraw(pid: int) -> None:
    """Have it run nothing instead, as it would complain of a file that is gone."""
    with contextlib.suppress(Failure):
        _execute(pid, os.devnull)
