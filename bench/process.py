"""Child processes on a core of their own, and what they say when they fail."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent


class SampleFailed(Exception):
    """A sample that could not be taken; the text is the end of what the process wrote to stderr."""


def cores() -> tuple[int, int]:
    """The core of what is measured and the core of the load: the same one only where there is no other."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def python(script: str, *arguments: str) -> list[str]:
    """The command that runs a script of this directory with the running interpreter."""
    return [sys.executable, str(HERE / script), *arguments]


def answer(command: Sequence[str], core: int, timeout: float) -> str:
    """What `command` prints, run on `core` for at most `timeout` seconds. Raises SampleFailed."""
    with tempfile.TemporaryFile() as errors:
        with _started(command, core, errors) as process:
            try:
                output, _ = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                raise SampleFailed(f"no result after {timeout} s") from None
        if process.returncode != 0:
            raise SampleFailed(_end_of(errors) or f"exit code {process.returncode}")
    return output.decode()


@contextmanager
def server(
    command: Sequence[str], core: int, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[int, int]]:
    """A running server: its process id and its port, which it prints first. It ends when its stdin does.

    `environment` is what it has besides this process's own.
    """
    with tempfile.TemporaryFile() as errors, _started(command, core, errors, environment) as process:
        assert process.stdout is not None
        port = process.stdout.readline()
        if not port:
            raise SampleFailed(_end_of(errors) or "the server does not start")
        try:
            yield process.pid, int(port)
        except SampleFailed as failure:
            raise SampleFailed(f"{failure}; server: {_end_of(errors) or 'silent'}") from failure


@contextmanager
def _started(
    command: Sequence[str], core: int, errors: IO[bytes], environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    variables = {**os.environ, **(environment or {})}
    # What is imported has been compiled before, as it is for those who use it.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=variables)
    os.sched_setaffinity(process.pid, {core})
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _end_of(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode(errors="replace").strip()[-500:]
