"""Processes to look into, and the commands that do."""

import contextlib
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.scripts import Script, environment

needs_remote_exec = pytest.mark.skipif(
    not hasattr(sys, "remote_exec") or sys.platform != "linux", reason="needs sys.remote_exec, and to be allowed to"
)


def surroundings(**variables: str) -> dict[str, str]:
    import ferroloop

    return environment(PYTHONPATH=str(Path(ferroloop.__path__[0]).parent), **variables)


@contextlib.contextmanager
def running(
    code: str, imports: str = "import asyncio, ferroloop, threading, time\n"
) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the code and has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", imports + textwrap.dedent(code)],
        env=surroundings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def run_command(*arguments: str, place: Path | None = None) -> Script:
    """Run `python -m ferroloop ARGUMENTS`. It may leave nothing where it makes its files: `place`, or a short path."""
    with tempfile.TemporaryDirectory(dir=place) as directory:
        done = subprocess.run(
            [sys.executable, "-m", "ferroloop", *arguments],
            env=surroundings(TMPDIR=directory),
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert os.listdir(directory) == []
    return Script(done.returncode, done.stdout, done.stderr)
