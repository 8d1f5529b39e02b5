"""Child interpreters: for what only a whole process can show."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest


class Script(NamedTuple):
    """How a child interpreter ended."""

    code: int
    out: str
    err: str


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without Python's debug switches, plus the changes."""
    dropped = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS")
    return {k: v for k, v in os.environ.items() if k not in dropped} | changes


def run_python(
    code: str,
    *options: str,
    arguments: Sequence[str] = (),
    env: dict[str, str] | None = None,
    seconds: float = 30,
    check: bool = True,
    **keywords: Any,
) -> Script:
    """Run `python OPTIONS -c code ARGUMENTS`; unless `check` is false, fail if it exits with an error."""
    command = [sys.executable, "-X", "faulthandler", *options, "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(
        command,
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=seconds,
        **keywords,
    )
    if check and done.returncode:
        pytest.fail(f"exit code {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False)
    return Script(done.returncode, done.stdout, done.stderr)
