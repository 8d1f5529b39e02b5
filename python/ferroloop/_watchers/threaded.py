"""ThreadedChildWatcher: a thread waits for each process."""

from __future__ import annotations

import asyncio
import itertools
import threading
import warnings

from .._ferroloop import await_exit, reap
from .base import RunningLoopChildWatcher, known_code, log_closed_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVarTuple

    from .base import Arguments, Callback

    _Ts = TypeVarTuple("_Ts")


class ThreadedChildWatcher(RunningLoopChildWatcher):
    """Waits for each process in a daemon thread, and reaps it in the thread of its loop.

    So between two callbacks of the loop a process that was not reported yet keeps its pid, and signals sent to it
    cannot reach another one. No signals are needed, and no process but those registered is touched.
    """

    __module__ = "ferroloop"

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._threads: dict[int, threading.Thread] = {}

    def __del__(self, _warn: Any = warnings.warn) -> None:
        # At interpreter shutdown the module may be emptied already: hence the default argument.
        if any(thread.is_alive() for thread in list(self._threads.values())):
            _warn(f"{type(self)} has registered but not finished child processes", ResourceWarning, source=self)

    def add_child_handler(self, pid: int, callback: Callable[[int, int, *_Ts], object], *args: *_Ts) -> None:
        """As the base, but it replaces nothing: each registration has its thread, and only the first gets the code.

        `callback` runs in the running loop. Raises RuntimeError without a running loop, or if no thread can be started.
        """
        loop = asyncio.get_running_loop()
        number = next(self._numbers)
        thread = threading.Thread(
            target=self._wait, args=(number, loop, pid, callback, args), name=f"asyncio-waitpid-{number}", daemon=True
        )
        self._threads[number] = thread
        try:
            thread.start()
        except RuntimeError:
            del self._threads[number]
            raise

    def remove_child_handler(self, pid: int) -> bool:
        """Return True: a thread cannot be called off, and its callback comes."""
        return True

    def _wait(
        self, number: int, loop: asyncio.AbstractEventLoop, pid: int, callback: Callback, args: Arguments
    ) -> None:
        try:
            await_exit(pid)
            loop.call_soon_threadsafe(_report, loop, pid, callback, args)
        except RuntimeError:  # the loop is closed
            _reap(loop, pid)
            log_closed_loop(loop, pid)
        finally:
            del self._threads[number]


def _report(loop: asyncio.AbstractEventLoop, pid: int, callback: Callback, args: Arguments) -> None:
    callback(pid, _reap(loop, pid), *args)


def _reap(loop: asyncio.AbstractEventLoop, pid: int) -> int:
    return known_code(pid, reap(pid), loop.get_debug())
