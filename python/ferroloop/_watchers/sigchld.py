"""SafeChildWatcher and FastChildWatcher: SIGCHLD in one loop, which is the main thread's."""

from __future__ import annotations

import asyncio
import functools
import operator
import signal
import threading
import warnings
from asyncio.log import logger

from .._ferroloop import reap_any, sweep
from .base import AbstractChildWatcher, RegisteringChildWatcher, call_each, known_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self, TypeVarTuple

    from .base import Arguments, Callback

    _Ts = TypeVarTuple("_Ts")


class AttachedChildWatcher(AbstractChildWatcher):
    """Hears of children by SIGCHLD in the loop it is attached to, and calls back there."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._callbacks: dict[int, tuple[Callback, Arguments]] = {}

    def _ended(self) -> Iterator[Callable[[], object]]:
        """Reap, one at a time, and take the callbacks of what was reaped out of the table: they are to be called."""
        raise NotImplementedError

    def remove_child_handler(self, pid: int) -> bool:
        return self._callbacks.pop(pid, None) is not None

    def attach_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """As the base. Warns (RuntimeWarning) if processes are registered and would go unnoticed.

        Raises AssertionError for what is no loop, RuntimeError outside of the main thread.
        """
        assert loop is None or isinstance(loop, asyncio.AbstractEventLoop)
        if self._loop is not None and loop is None and self._callbacks:
            warnings.warn(
                "A loop is being detached from a child watcher with pending handlers", RuntimeWarning, stacklevel=2
            )
        former, self._loop = self._loop, None
        if former is not None:
            former.remove_signal_handler(signal.SIGCHLD)
        if loop is not None:
            loop.add_signal_handler(signal.SIGCHLD, self._sig_chld)
            self._loop = loop
            self._sig_chld()  # children may have ended while nobody was listening

    def close(self) -> None:
        self._callbacks.clear()
        self.attach_loop(None)

    def is_active(self) -> bool:
        return self._loop is not None and self._loop.is_running()

    def _sig_chld(self) -> None:
        loop = self._loop
        if loop is None:
            return  # detached when the signal was on its way already

        def failed(exc: BaseException) -> None:
            loop.call_exception_handler({"message": "Unknown exception in SIGCHLD handler", "exception": exc})

        call_each(self._ended(), operator.call, failed)

    def _is_debugged(self) -> bool:
        return self._loop is not None and self._loop.get_debug()

    def _check_attached(self) -> None:
        if self._loop is None:
            raise RuntimeError("Cannot add child handler, the child watcher does not have a loop attached")


class SafeChildWatcher(RegisteringChildWatcher, AttachedChildWatcher):
    """Asks for each registered process whenever SIGCHLD arrives, and touches no other.

    The work per signal grows with the number of processes.
    """

    __module__ = "ferroloop"

    def add_child_handler(self, pid: int, callback: Callable[[int, int, *_Ts], object], *args: *_Ts) -> None:
        """As the base; if the process has ended already, `callback` runs in this call, otherwise in the attached loop.

        Raises RuntimeError if no loop is attached, AssertionError unless `pid` is positive.
        """
        assert pid > 0
        self._check_attached()
        self._callbacks[pid] = (callback, args)
        for ended in self._sweep((pid,)):
            ended()

    def _ended(self) -> Iterator[Callable[[], object]]:
        return self._sweep(list(self._callbacks))

    def _sweep(self, pids: Iterable[int]) -> Iterator[Callable[[], object]]:
        for pid, (callback, args), code in sweep(self._callbacks, pids):
            yield functools.partial(callback, pid, known_code(pid, code, self._is_debugged()), *args)


class FastChildWatcher(AttachedChildWatcher):
    """Reaps whatever child has ended whenever SIGCHLD arrives, its own or not.

    The work per signal does not grow with the number of processes. But whoever else waits for a child of this process,
    such as `subprocess.run` in another thread, may find its exit code taken.
    """

    __module__ = "ferroloop"

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._forks = 0  # with blocks entered, in all threads
        self._zombies: dict[int, int] = {}  # codes of children reaped before they were registered

    def __enter__(self) -> Self:
        with self._lock:
            self._forks += 1
        return self

    def __exit__(self, *_exc_info: object) -> None:
        with self._lock:
            self._forks -= 1
            if self._forks or not self._zombies:
                return
            strangers = str(self._zombies)
            self._zombies.clear()
        logger.warning("Caught subprocesses termination from unknown pids: %s", strangers)

    def add_child_handler(self, pid: int, callback: Callable[[int, int, *_Ts], object], *args: *_Ts) -> None:
        """As the base; if the process was reaped already, `callback` runs in this call, otherwise in the attached loop.

        Raises AssertionError outside of the watcher's `with`, RuntimeError if no loop is attached.
        """
        assert self._forks, "Must use the context manager"
        self._check_attached()
        with self._lock:
            code = self._zombies.pop(pid, None)
            if code is None:
                self._callbacks[pid] = (callback, args)
                return
        callback(pid, code, *args)

    def close(self) -> None:
        self._zombies.clear()
        super().close()

    def _ended(self) -> Iterator[Callable[[], object]]:
        # Several exits may share one signal, so until none is left.
        while (found := reap_any()) is not None:
            pid, code = found
            with self._lock:
                entry = self._callbacks.pop(pid, None)
                expected = self._forks > 0
                if entry is None and expected:
                    self._zombies[pid] = code
            if entry is not None:
                callback, args = entry
                yield functools.partial(callback, pid, known_code(pid, code, self._is_debugged()), *args)
            elif not expected:
                logger.warning("Caught subprocess termination from unknown pid: %d -> %d", pid, code)
            elif self._is_debugged():
                logger.debug("unknown process %s exited with returncode %s", pid, code)
