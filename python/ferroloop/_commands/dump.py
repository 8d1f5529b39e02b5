"""`python -m ferroloop dump PID`: what the loops of another process hold and do, also of one that hangs."""

import argparse
import contextlib
import inspect
import math
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from . import look
from .nudge import nudge

_ABOUT = """\
Print what the event loops of a running process hold: the dump of each, and the stack of the thread that runs it. The
process runs the code for that in its main thread, as soon as that comes by."""
_TOO_OLD = """\
dump needs Python 3.14 or newer, here and in the process. Before that, have the program call loop.dump() in a handler
of a signal: see "What it holds" in docs/operating.md."""

# Seconds between two looks for the answer.
_PAUSE = 0.05


class _Failure(Exception):
    """Told to the user as it is."""


def main(arguments: list[str]) -> int:
    """Print what the process answers. The exit status is 1 if it does not."""
    options = _options(arguments)
    try:
        if sys.version_info < (3, 14):
            raise _Failure(_TOO_OLD)
        answer = _ask(options.pid, options.timeout)
    except _Failure as exc:
        print(exc, file=sys.stderr)
        return 1
    sys.stdout.buffer.write(answer)
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ferroloop dump", description=_ABOUT)
    parser.add_argument("pid", type=_pid, metavar="PID", help="of the process")
    parser.add_argument(
        "--timeout", type=_timeout, default=5, metavar="SECONDS", help="to wait for it (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def _pid(text: str) -> int:
    if (pid := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return pid


def _timeout(text: str) -> float:
    if not 0 < (seconds := float(text)) < math.inf:
        raise argparse.ArgumentTypeError("more than 0")
    return seconds


def _ask(pid: int, timeout: float) -> bytes:
    """Have the process run `look`, and return its answer."""
    _check_existence(pid)
    directory = Path(tempfile.mkdtemp(prefix="ferroloop-"))
    try:
        script, result = directory / "look.py", directory / "result"
        script.write_text(f"{inspect.getsource(look)}\n\nreport({str(result)!r})\n", encoding="utf-8")
        result.touch(mode=0o600)
        with result.open("rb") as file:  # before anybody else can put something in its place
            _give(pid, script, result, directory)
            _have_it_run(pid, script)
            return _wait(pid, file.fileno(), timeout)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _check_existence(pid: int) -> None:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        raise _Failure(f"There is no process {pid}.") from None
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
        raise _Failure(
            f"Process {pid} does not see {tempfile.gettempdir()} as it is here. It may run in a container: run this "
            "command in there. Or set TMPDIR to a directory that it sees."
        ) from None
    except PermissionError:
        raise _Failure(_forbidden(pid)) from None


def _effective_user(process: Path) -> int:
    """By proc_pid_status(5). The owner of the directory is root where a process has changed its user."""
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[2]) for line in lines if line.startswith("Uid:"))


def _forbidden(pid: int) -> str:
    return (
        f"The system does not let this user look into process {pid}. It lets the user of that process, root, and "
        "whoever has CAP_SYS_PTRACE; some systems only the last two (ptrace(2), ptrace_scope)."
    )


def _have_it_run(pid: int, script: str | Path) -> None:
    try:
        sys.remote_exec(pid, str(script))  # type: ignore[attr-defined, unused-ignore]  # 3.14 and later
    except PermissionError:
        raise _Failure(_forbidden(pid)) from None
    except (OSError, RuntimeError) as exc:
        raise _Failure(
            f"Process {pid} cannot be looked into: {exc.__cause__ or exc}. It has to be a CPython of the same version "
            f"as this one, {platform.python_version()}, with remote debugging enabled."
        ) from None


def _wait(pid: int, result: int, timeout: float) -> bytes:
    end = look.END.encode()
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            nudge(pid, _PAUSE)
            time.sleep(_PAUSE)
            answer = os.pread(result, os.fstat(result).st_size, 0)
            if answer.endswith(end):
                return answer.removesuffix(end)
            _check_existence(pid)
        raise _Failure(
            f"The main thread of process {pid} has not run any Python code for {timeout:g} seconds: it waits for a "
            "lock or in a system call, computes in C, or the process is stopped. What it was to run has been taken "
            "back."
        )
    except BaseException:
        _withdraw(pid)
        raise


def _withdraw(pid: int) -> None:
    """Have it run nothing instead, as it would complain of a file that is gone."""
    with contextlib.suppress(_Failure):
        _have_it_run(pid, os.devnull)
