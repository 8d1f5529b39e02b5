"""The two loops every behaviour test runs on: stock asyncio, the oracle, and ferroloop.

`FERROLOOP_ONLY_ORACLE=1` runs the asyncio half alone, to check the tests themselves against the
oracle. Without it a ferroloop that cannot be imported is an error of the whole run, never a skip.
"""

import asyncio
import importlib
import os
from collections.abc import Callable
from typing import Any

ORACLE = "asyncio"
SUBJECT = "ferroloop"
ORACLE_ALONE = os.environ.get("FERROLOOP_ONLY_ORACLE", "") not in ("", "0")

# A loop of either half. Not AbstractEventLoop, whose stubs lack what newer Pythons added to loops.
Loop = Any
NewLoop = Callable[[], Loop]


def imports(kind: str) -> str:
    """The lines by which a child process gets `new_event_loop`, of the same package as ours."""
    if kind == ORACLE:
        return "from asyncio import SelectorEventLoop as new_event_loop\n"
    place = importlib.import_module("ferroloop").__path__[0]
    return f"import sys; sys.path.insert(0, {os.path.dirname(place)!r})\nfrom ferroloop import new_event_loop\n"


def kinds() -> list[str]:
    """The halves of this run, oracle first."""
    return [ORACLE] if ORACLE_ALONE else [ORACLE, SUBJECT]


def factory(kind: str) -> NewLoop:
    """The zero-argument callable that makes loops of this kind."""
    if kind == ORACLE:
        return asyncio.SelectorEventLoop
    return importlib.import_module("ferroloop").new_event_loop


def loop_class(kind: str) -> type:
    """The class to subclass where a test overrides a method of the loop."""
    if kind == ORACLE:
        return asyncio.SelectorEventLoop
    return importlib.import_module("ferroloop").EventLoop
