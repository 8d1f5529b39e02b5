"""Put another event loop class wherever CPython's asyncio tests make a loop, and count the loops made."""

import asyncio
import importlib
import pkgutil
import sys
import types
from asyncio import base_events, events, unix_events
from asyncio.log import logger
from typing import Any
from unittest import mock

import watchers

STOCK = "asyncio"

_LOG_METHODS = ("debug", "info", "warning", "error", "exception", "critical", "log")


# The suite's own loop with a hand-driven clock is built on asyncio's BaseEventLoop by design, stands for itself in
# every run, and is not counted.
_HAND_DRIVEN = "test.test_asyncio.utils"


class Tally:
    """How many loops were made: of the class under test, and of asyncio's own classes."""

    def __init__(self) -> None:
        self.subject = 0
        self.stock: list[str] = []

    def note(self, loop: asyncio.AbstractEventLoop, subject: type) -> None:
        if type(loop).__module__ == _HAND_DRIVEN:
            return
        if isinstance(loop, subject):
            self.subject += 1
        else:
            self.stock.append(type(loop).__qualname__)


def install(loop: str) -> Tally:
    """Make `loop` ("asyncio", or "module:Class") the loop of this process's asyncio; return the running count.

    "asyncio" changes no name: it is the baseline. To be called before the test modules are imported, so that names
    they bind at import (`from asyncio import ...`, `unittest` class attributes) are already the swapped ones.
    """
    tally = Tally()
    if loop == STOCK:
        _count(tally, subject=base_events.BaseEventLoop)
        return tally
    # The suite's helpers come first: their TestLoop must be built on asyncio's own BaseEventLoop.
    importlib.import_module("test.test_asyncio.utils")
    module, _, name = loop.partition(":")
    subject = _subject(getattr(importlib.import_module(module), name), tally)
    _count(tally, subject)
    _replace_names(subject)
    watchers.install(module, subject)
    package = importlib.import_module(module.partition(".")[0])
    # What is imported with its first use must be there when a test patches it.
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    for source in base_events, unix_events:
        source.__class__ = _Patched
        source.package = package.__name__
    return tally


def _count(tally: Tally, subject: type) -> None:
    original = base_events.BaseEventLoop.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        tally.note(self, subject)
        original(self, *args, **kwargs)

    base_events.BaseEventLoop.__init__ = __init__


def _subject(base: Any, tally: Tally) -> type:
    class Subject(base):
        def __init__(self, selector: Any = None) -> None:
            # The suite names the poller by passing a selector. The loop under test brings its own.
            if selector is not None:
                selector.close()
            super().__init__()
            tally.note(self, Subject)

    Subject.__name__ = Subject.__qualname__ = base.__name__
    return Subject


def _replace_names(subject: type) -> None:
    for module in (asyncio, unix_events):
        for name in ("SelectorEventLoop", "EventLoop"):
            if hasattr(module, name):
                setattr(module, name, subject)
    # Only the names the tests use: asyncio's own classes keep their bases.
    asyncio.BaseEventLoop = base_events.BaseEventLoop = subject
    # What asyncio.new_event_loop(), Runner, run() and IsolatedAsyncioTestCase end in.
    unix_events._UnixDefaultEventLoopPolicy._loop_factory = subject
    if hasattr(events, "_ThreadSafeHandle"):
        # 3.14 asserts this private class where the documentation promises a Handle.
        events._ThreadSafeHandle = events.Handle


class _Patched(types.ModuleType):
    """A module of asyncio where replacing a name replaces what another loop uses in its place.

    Many tests patch `asyncio.base_events.logger` to see what the loop logs: another loop logs to the same logger
    object through a name of its own, so the object has to answer in the mock's place. Others patch
    `asyncio.base_events.socket` to see sockets fail, or `asyncio.unix_events.signal`: another loop has its own modules
    with those names.
    """

    package = ""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "logger":
            for method in _LOG_METHODS:
                if value is logger:
                    vars(logger).pop(method, None)
                else:
                    setattr(logger, method, getattr(value, method))
        elif name in ("os", "signal", "socket", "sys"):
            if name == "signal" and isinstance(value, mock.Mock):
                value.set_wakeup_fd.return_value = -1  # nobody's was replaced: a mock is no descriptor
            for module in list(sys.modules.values()):
                if module.__name__.partition(".")[0] == self.package and name in vars(module):
                    setattr(module, name, value)
