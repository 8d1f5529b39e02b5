"""`python -m ferroloop dump PID`: what the loops of another process hold and do, also of one that hangs."""

from __future__ import annotations

import os
import sys
from functools import partial

from . import look, remote

_ABOUT = """\
Print what the event loops of a running process hold: the dump of each, and the stack of the thread that runs it. The
process runs the code for that in its main thread, as soon as that comes by."""


def main(arguments: list[str]) -> int:
    """Print what the process answers. The exit status is 1 if it does not."""
    options = remote.new_parser("dump", _ABOUT).parse_args(arguments)
    return remote.exit_status("dump", partial(_dump, options.pid, options.timeout))


def _dump(pid: int, timeout: float) -> None:
    with remote.private_directory() as directory:
        result = directory / "result"
        result.touch(mode=0o600)
        with result.open("rb") as file:  # before anybody else can put something in its place
            remote.have_it_look(pid, directory, f"report({str(result)!r})", result)
            answer = remote.wait_for(partial(_answer, file.fileno()), pid, timeout)
    sys.stdout.buffer.write(answer)


def _answer(result: int) -> bytes | None:
    end = look.END.encode()
    answer = os.pread(result, os.fstat(result).st_size, 0)
    return answer.removesuffix(end) if answer.endswith(end) else None
