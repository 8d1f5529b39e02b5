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
# The same, its TLS by the methods of SSLObject alone; for tests marked `tls_engines`.
PORTABLE = "ferroloop-portable"
ORACLE_ALONE = os.environ.get("FERROLOOP_ONLY_ORACLE", "") not in ("", "0")

# A loop of either half. Not AbstractEventLoop, whose stubs lack what newer Pythons added to loops.
Loop = Any
NewLoop = Callable[[], Loop]
# The `run` fixture.
Run = Callable[..., Any]


def imports(kind: str) -> str:
    """The lines by which a child process gets `new_event_loop`, of the same package as ours."""
    if kind == ORACLE:
        return "from asyncio import SelectorEventLoop as new_event_loop\n"
    place = importlib.import_module("ferroloop").__path__[0]
    engine = "import os; os.environ['FERROLOOP_TLS_ENGINE'] = 'portable'\n" if kind == PORTABLE else ""
    path = f"import sys; sys.path.insert(0, {os.path.dirname(place)!r})\n"
    return f"{engine}{path}from ferroloop import new_event_loop\n"


def kinds(tls_engines: bool = False) -> list[str]:
    """The halves of this run, oracle first; ours once for each TLS engine where that can make a difference."""
    if ORACLE_ALONE:
        return [ORACLE]
    return [ORACLE, SUBJECT, PORTABLE] if tls_engines else [ORACLE, SUBJECT]


def factory(kind: str) -> NewLoop:
    """The zero-argument callable that makes loops of this kind."""
    if kind == ORACLE:
        return asyncio.SelectorEventLoop
    return _portable if kind == PORTABLE else importlib.import_module("ferroloop").new_event_loop


def _portable() -> Loop:
    loop = importlib.import_module("ferroloop").new_event_loop()
    loop.set_tls_engine("portable")
    return loop


def loop_class(kind: str) -> Any:
    """The class to subclass where a test overrides a method of the loop."""
    if kind == ORACLE:
        return asyncio.SelectorEventLoop
    return importlib.import_module("ferroloop").EventLoop
