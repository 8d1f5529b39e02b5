"""Unmodified programs as processes of their own, and every way to give them a loop."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.scripts import environment

APPS = Path(__file__).with_name("apps")

ASYNCIO = "asyncio.unix_events._UnixSelectorEventLoop"
FERROLOOP = "ferroloop.EventLoop"

# What to tell the interpreter so that the program `{name}` of APPS, whose `main` is a coroutine function, runs on
# ferroloop.
WAYS = {
    "run": ["-c", "import ferroloop, {name}; ferroloop.run({name}.main())"],
    "Runner": [
        "-c",
        "import asyncio, ferroloop, {name}\n"
        "with asyncio.Runner(loop_factory=ferroloop.new_event_loop) as runner: runner.run({name}.main())",
    ],
    "policy": [
        "-c",
        "import asyncio, ferroloop, {name}\n"
        "asyncio.set_event_loop_policy(ferroloop.EventLoopPolicy()); asyncio.run({name}.main())",
    ],
    "install": ["-c", "import asyncio, ferroloop, {name}; ferroloop.install(); asyncio.run({name}.main())"],
    "launcher": ["-m", "ferroloop", "{path}"],
    "launcher -m": ["-m", "ferroloop", "-m", "{name}"],
    "launcher -c": ["-m", "ferroloop", "-c", "import asyncio, {name}; asyncio.run({name}.main())"],
}
# The oracle's.
STOCK = ["{path}"]


def command(way: list[str], name: str) -> list[str]:
    """The command that runs a program of APPS in this way."""
    path = str(APPS / f"{name}.py")
    return [sys.executable, *(part.format(name=name, path=path) for part in way)]


def run(way: list[str], name: str, **variables: str) -> Any:
    """Run the program to its end and return the JSON it prints. It may say nothing on standard error."""
    done = subprocess.run(
        command(way, name), env=_environment(variables), capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode or done.stderr:
        pytest.fail(f"exit status {done.returncode}\n{done.stderr}", pytrace=False)
    return json.loads(done.stdout)


class Running:
    """A program that has begun to serve."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def read_until(self, word: str) -> str:
        """The rest of the first line of output that has the word in it; fail if there is none."""
        assert self._process.stdout is not None
        seen = []
        for line in self._process.stdout:
            if word in line:
                return line.partition(word)[2].strip()
            seen.append(line)
        pytest.fail(f"ended without {word!r}:\n{''.join(seen)}", pytrace=False)

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit status and what was still printed."""
        self._process.send_signal(number)
        rest, _ = self._process.communicate(timeout=20)
        return self._process.returncode, rest


@contextlib.contextmanager
def start(arguments: list[str], **variables: str) -> Iterator[Running]:
    """Start a program, its standard error going to its standard output; kill it in the end if it is still there."""
    with subprocess.Popen(
        arguments, env=_environment(variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    places = [str(APPS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    # Policies warn of their end on 3.14 and 3.15.
    return environment(
        PYTHONPATH=os.pathsep.join(filter(None, places)), PYTHONWARNINGS="ignore::DeprecationWarning", **variables
    )
