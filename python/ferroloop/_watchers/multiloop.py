"""MultiLoopChildWatcher: SIGCHLD in the main thread, for the loops of all threads."""

from __future__ import annotations

import asyncio
import signal
from asyncio.log import logger

from .._ferroloop import sweep
from .base import RegisteringChildWatcher, call_each, known_code, log_closed_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, TypeAlias, TypeVarTuple

    from .base import Arguments, Callback

    _Ts = TypeVarTuple("_Ts")
    _Entry: TypeAlias = tuple[asyncio.AbstractEventLoop, Callback, Arguments]


class MultiLoopChildWatcher(RegisteringChildWatcher):
    """Asks for each registered process whenever SIGCHLD arrives, and reports to the loop it was registered from.

    The main thread needs no loop, but it has to run Python code now and then: that is where signals are handled. A
    handler for SIGCHLD added elsewhere, to a loop for one, replaces this watcher's, which then hears nothing any more.
    """

    __module__ = "ferroloop"

    def __init__(self) -> None:
        self._callbacks: dict[int, _Entry] = {}
        # Not None while the handler for SIGCHLD is this watcher's.
        self._saved_sighandler: Any = None

    def add_child_handler(self, pid: int, callback: Callable[[int, int, *_Ts], object], *args: *_Ts) -> None:
        """As the base; `callback` runs in the running loop.

        Raises RuntimeError without a running loop, AssertionError unless `pid` is positive.
        """
        assert pid > 0
        self._callbacks[pid] = (asyncio.get_running_loop(), callback, args)
        for ended in sweep(self._callbacks, (pid,)):
            _hand_over(ended)

    def remove_child_handler(self, pid: int) -> bool:
        return self._callbacks.pop(pid, None) is not None

    def attach_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Begin to handle SIGCHLD, for whatever loop; once is enough.

        Raises ValueError outside of the main thread.
        """
        if self._saved_sighandler is not None:
            return
        previous = signal.signal(signal.SIGCHLD, self._sig_chld)
        if previous is None:
            logger.warning(
                "Previous SIGCHLD handler was set by non-Python code, restore to default handler on watcher close."
            )
            previous = signal.SIG_DFL
        self._saved_sighandler = previous
        signal.siginterrupt(signal.SIGCHLD, False)
        self._sig_chld(signal.SIGCHLD, None)  # children may have ended while nobody was listening

    def close(self) -> None:
        """Forget all processes and give SIGCHLD back to whoever had it. The watcher may be attached again.

        Raises ValueError outside of the main thread.
        """
        self._callbacks.clear()
        if self._saved_sighandler is None:
            return
        if signal.getsignal(signal.SIGCHLD) == self._sig_chld:
            signal.signal(signal.SIGCHLD, self._saved_sighandler)
        else:
            logger.warning("SIGCHLD handler was changed by outside code")
        self._saved_sighandler = None

    def is_active(self) -> bool:
        return self._saved_sighandler is not None

    def _sig_chld(self, signum: int, frame: FrameType | None) -> None:
        call_each(sweep(self._callbacks, list(self._callbacks)), _hand_over, _log_failure)


def _hand_over(ended: tuple[int, _Entry, int | None]) -> None:
    pid, (loop, callback, args), code = ended
    code = known_code(pid, code, loop.get_debug() and not loop.is_closed())
    try:
        loop.call_soon_threadsafe(callback, pid, code, *args)
    except RuntimeError:
        if not loop.is_closed():
            raise
        log_closed_loop(loop, pid)


def _log_failure(exc: BaseException) -> None:
    logger.warning("Unknown exception in SIGCHLD handler", exc_info=exc)
