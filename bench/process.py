"""Child processes on a core of their own, and what they say when they fail."""

import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent

# Seconds that a server may take until it serves.
_START = 60


class SampleFailed(Exception):
    """A sample that could not be taken; the text is the end of what the process wrote to stderr."""


def cores() -> tuple[int, int]:
    """The core of what is measured and the core of the load: the same one only where there is no other."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def python(script: str, *arguments: str) -> list[str]:
    """The command that runs a script of this directory with the running interpreter."""
    return [sys.executable, str(HERE / script), *arguments]


class Child:
    """A running process, which answers lines with lines."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, question: str, timeout: float) -> str:
        """The line that it prints for this one. Raises SampleFailed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{question}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None
        return self.line(timeout)

    def line(self, timeout: float) -> str:
        """The next line that it prints. Raises SampleFailed."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise SampleFailed(f"no result after {timeout} s")
        line = self._process.stdout.readline()
        if not line:
            raise self._failed()
        return line.decode()

    def output(self, timeout: float) -> str:
        """All that it prints until it ends. Raises SampleFailed."""
        try:
            output, _ = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise SampleFailed(f"no result after {timeout} s") from None
        if self._process.returncode != 0:
            raise self._failed()
        return output.decode()

    def complaint(self) -> str:
        """The end of what it wrote to stderr."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()[-500:]

    def _failed(self) -> SampleFailed:
        return SampleFailed(self.complaint() or f"exit code {self._process.wait()}")


@contextmanager
def child(command: Sequence[str], core: int, environment: Mapping[str, str] | None = None) -> Iterator[Child]:
    """A process on `core`, which is ended. `environment` is what it has besides this process's own."""
    variables = {**os.environ, **(environment or {})}
    # What is imported has been compiled before, as it is for those who use it.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, env=variables)
        os.sched_setaffinity(process.pid, {core})
        try:
            yield Child(process, errors)
        finally:
            process.kill()
            process.communicate()


def answer(command: Sequence[str], core: int, timeout: float) -> str:
    """What `command` prints, run on `core` for at most `timeout` seconds. Raises SampleFailed."""
    with child(command, core) as process:
        return process.output(timeout)


@contextmanager
def server(
    command: Sequence[str], core: int, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[int, int]]:
    """A running server: its process id and its port, which it prints first. It ends when its stdin does."""
    with child(command, core, environment) as process:
        port = int(process.line(_START))
        try:
            yield process.pid, port
        except SampleFailed as failure:
            raise SampleFailed(f"{failure}; server: {process.complaint() or 'silent'}") from failure
