"""What `python -m ferroloop` can do besides running a program: `doctor`, `bench`, `dump` and `top`."""

import importlib
import io
import os
import select
import signal
import sys

NAMES = ("doctor", "bench", "dump", "top")


def is_meant(name: str) -> bool:
    """Whether `name` is one of the commands here, and not a program of the user's that happens to be called so.

    A program is what `python NAME` would run: a file, or a directory with a `__main__.py`. It always comes first.
    """
    return name in NAMES and not (os.path.isfile(name) or os.path.isfile(os.path.join(name, "__main__.py")))


def run(name: str, arguments: list[str]) -> int:
    """Run a command and return its exit status. Only now is its code imported: programs do not pay for it.

    Where nobody reads any more what it prints, as in `... | head`, it ends as if by SIGPIPE.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for µ and bars where the encoding has none
    try:
        status: int = importlib.import_module(f".{name}", __name__).main(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        if _is_read():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where Python may flush at its end
        return 128 + signal.SIGPIPE
    return status


def _is_read() -> bool:
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    return not output.poll(0)  # errors are told unasked
