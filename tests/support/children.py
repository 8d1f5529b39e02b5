"""Child processes under a test's control, and child watchers of both kinds."""

import asyncio
import contextlib
import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import loops
from support.gates import ferroloop_only
from support.turns import until

NAMES = [
    "PidfdChildWatcher",
    "ThreadedChildWatcher",
    "SafeChildWatcher",
    "FastChildWatcher",
    "MultiLoopChildWatcher",
]

# That hear of all ends by one signal, and can be told to forget a child.
BY_SIGCHLD = NAMES[2:]
# That report to the loop in which a child is registered.
FOR_ALL_LOOPS = ["PidfdChildWatcher", "ThreadedChildWatcher", "MultiLoopChildWatcher"]
# That reap nothing they were not told of.
CAREFUL = [name for name in NAMES if name != "FastChildWatcher"]

# From 3.14 on there is no oracle.
watchers_of_both = ferroloop_only("asyncio dropped its watchers in 3.14", "S0.5", when=sys.version_info >= (3, 14))


def asyncio_cannot(kind: str, name: str, failing: str, reason: str) -> None:
    """Leave out the asyncio half for one watcher of asyncio's that is wrong here."""
    if kind == loops.ORACLE and name == failing:
        pytest.skip(f"asyncio's {name} {reason}")


def watcher_class(kind: str, name: str) -> Any:
    """asyncio's class, or ferroloop's."""
    return getattr(importlib.import_module("asyncio" if kind == loops.ORACLE else "ferroloop"), name)


def make_watcher(kind: str, name: str) -> Any:
    """A watcher of this kind, without asyncio's complaint about itself."""
    with warnings.catch_warnings():
        if kind == loops.ORACLE:
            warnings.simplefilter("ignore", DeprecationWarning)
        return watcher_class(kind, name)()


def start_shell(command: str, stdin: int) -> int:
    """Start a shell command; return its pid. Signals ignored here, as under nohup, are not ignored there."""
    endings = [signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1]
    actions = [(os.POSIX_SPAWN_DUP2, stdin, 0)]
    return os.posix_spawn("/bin/sh", ["sh", "-c", command], {}, file_actions=actions, setsigdef=endings)


@contextlib.contextmanager
def sigchld_held() -> Iterator[None]:
    """No handler for SIGCHLD runs inside; one signal follows, for all there were.

    The disposition is changed, not the mask: a signal blocked here is taken by any other thread, for a handler that
    runs here all the same.
    """
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)
        signal.raise_signal(signal.SIGCHLD)


class Child:
    """A shell that ends with a code, or by a signal (negative); at once, or when it is released."""

    def __init__(self, ending: int, held: bool) -> None:
        reader, writer = os.pipe()
        last = f"exit {ending}" if ending >= 0 else f"kill {ending} $$"
        command = f"read _; {last}" if held else last
        self.pid = start_shell(command, reader)
        self.ending = ending
        os.close(reader)
        self._writer = writer
        if not held:
            self.release()

    def release(self) -> None:
        """Let it end. Idempotent."""
        writer, self._writer = self._writer, -1
        if writer != -1:
            os.close(writer)

    def wait_until_dead(self) -> None:
        """Block until it has ended, and leave it a zombie."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def reap(self) -> int:
        """Let it end and take its status away, as other code might; return the code.

        No handler for SIGCHLD runs before the status is taken.
        """
        with sigchld_held():
            self.release()
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def is_reaped(self) -> bool:
        """Whether somebody has taken its status."""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:
            return True
        return False


class Children:
    """Starts children; none of them outlives the test."""

    def __init__(self) -> None:
        self._all: list[Child] = []

    def __call__(self, ending: int = 0, held: bool = False) -> Child:
        child = Child(ending, held)
        self._all.append(child)
        return child

    def release(self) -> None:
        """Let all end that are held."""
        for child in self._all:
            child.release()

    def finish(self) -> list[int]:
        """End all; return the endings of those that nobody had reaped."""
        self.release()
        left = []
        for child in self._all:
            with contextlib.suppress(ChildProcessError):
                left.append(child.reap())
        return left


class Reports:
    """A watcher's callback: remembers its calls, and in which threads they came."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.threads: list[int] = []

    def __call__(self, *args: Any) -> None:
        self.threads.append(threading.get_ident())
        self.calls.append(args)


@pytest.fixture
def children() -> Iterator[Children]:
    """Children that the watcher has to reap: a test that leaves a zombie fails."""
    made = Children()
    yield made
    assert made.finish() == []


@pytest.fixture
def strays() -> Iterator[Children]:
    """Children that need not be reaped by anybody but this fixture."""
    made = Children()
    yield made
    made.finish()


@pytest.fixture
def reports() -> Reports:
    """A callback that remembers."""
    return Reports()


def in_loop(loop: asyncio.AbstractEventLoop, call: Callable[..., Any], *args: Any) -> Any:
    """Call while the loop runs, and return what comes of it."""

    async def main() -> Any:
        return call(*args)

    return loop.run_until_complete(main())


def register(loop: asyncio.AbstractEventLoop, watcher: Any, child: Child, callback: Any, *args: Any) -> None:
    """Register a child with a watcher, as a loop would."""

    def call() -> None:
        with watcher:
            watcher.add_child_handler(child.pid, callback, *args)

    in_loop(loop, call)


def register_in_a_thread(loop: asyncio.AbstractEventLoop, watcher: Any, children: Children, reports: Reports) -> None:
    """Register children in another thread while the loop runs, until each has been reported with its code."""
    count = 150

    def start() -> None:
        for code in range(count):
            with watcher:
                watcher.add_child_handler(children(code % 100).pid, reports)

    thread = threading.Thread(target=start)
    thread.start()
    until(loop, lambda: len(reports.calls) == count)
    thread.join()
    assert sorted(code for _, code in reports.calls) == sorted(code % 100 for code in range(count))


@contextlib.contextmanager
def attached(loop: asyncio.AbstractEventLoop, watcher: Any) -> Iterator[Any]:
    """The watcher at work in a loop; closed afterwards."""
    watcher.attach_loop(loop)
    try:
        yield watcher
    finally:
        watcher.close()
