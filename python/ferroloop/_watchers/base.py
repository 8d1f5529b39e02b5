"""What all child watchers have in common: the contract, the log lines, the code for a lost status."""

from __future__ import annotations

import asyncio
import sys
import warnings
from asyncio.log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any, Self, TypeAlias, TypeVar, TypeVarTuple

    _T = TypeVar("_T")
    _Ts = TypeVarTuple("_Ts")
    Callback: TypeAlias = Callable[..., object]
    Arguments: TypeAlias = tuple[Any, ...]


# Reported for a child whose status was taken by somebody else (S45.2).
UNKNOWN_CODE = 255

if sys.version_info >= (3, 14):
    _Base = object
else:
    _Base = asyncio.AbstractChildWatcher

with warnings.catch_warnings():
    # asyncio warns of subclasses from 3.12 on, because it is about to drop the class. Subclasses of ours are here to
    # stay, so no further one gets that far: see __init_subclass__.
    warnings.simplefilter("ignore", DeprecationWarning)

    class AbstractChildWatcher(_Base):  # type: ignore[misc, valid-type, unused-ignore]
        """Tells of the end of child processes.

        A process is started inside `with watcher:` and registered before that is left:

            with watcher:
                process = subprocess.Popen(...)
                watcher.add_child_handler(process.pid, callback)

        Implementations are thread-safe. Only one that reaps processes it was not told of may be active at a time.
        """

        __module__ = "ferroloop"

        def __init_subclass__(cls) -> None:
            """Allow subclasses; asyncio warns of them."""

        def add_child_handler(self, pid: int, callback: Callable[[int, int, *_Ts], object], *args: *_Ts) -> None:
            """Call `callback(pid, returncode, *args)` once the process has ended.

            `returncode` is the exit status, minus the number of the signal that killed the process, or 255 if somebody
            else has waited for it. The callback must be thread-safe; it replaces one registered before for `pid`.
            """
            raise NotImplementedError

        def remove_child_handler(self, pid: int) -> bool:
            """Forget a process, which this watcher then does not reap. Return False if there was nothing to forget."""
            raise NotImplementedError

        def attach_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
            """Work in `loop` from now on, and no more in the loop before; None detaches."""
            raise NotImplementedError

        def close(self) -> None:
            """Stop watching and free what that took."""
            raise NotImplementedError

        def is_active(self) -> bool:
            """Whether processes that are started now will be noticed when they end."""
            raise NotImplementedError

        def __enter__(self) -> Self:
            """Expect a process that is not registered yet."""
            raise NotImplementedError

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
        ) -> None:
            """The process is registered, or was not started."""
            raise NotImplementedError


# What counts as a child watcher: where asyncio has its own, those too.
if sys.version_info >= (3, 14):
    ChildWatcher: TypeAlias = AbstractChildWatcher
else:
    ChildWatcher: TypeAlias = asyncio.AbstractChildWatcher


class RegisteringChildWatcher(AbstractChildWatcher):
    """A watcher that reaps nothing but registered processes, so it need not know what is about to be started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        pass


class RunningLoopChildWatcher(RegisteringChildWatcher):
    """A watcher that reports to the loop running in the thread that registers, so it need not be attached to any."""

    def is_active(self) -> bool:
        return True

    def attach_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Any loop will do."""

    def close(self) -> None:
        """What is registered stays: its loop frees it."""


def known_code(pid: int, code: int | None, debug: bool) -> int:
    """Log that a child has ended, or that somebody else knows how; return the code to report."""
    if code is None:
        logger.warning("Unknown child process pid %d, will report returncode 255", pid)
        return UNKNOWN_CODE
    if debug:
        logger.debug("process %s exited with returncode %s", pid, code)
    return code


def log_closed_loop(loop: asyncio.AbstractEventLoop, pid: int) -> None:
    """Nobody can be told any more: not by a callback, at least."""
    logger.warning("Loop %r that handles pid %r is closed", loop, pid)


def call_each(ended: Iterator[_T], call: Callable[[_T], object], failed: Callable[[BaseException], object]) -> None:
    """Report every child that has ended, whatever becomes of the report of another one.

    There may be no further SIGCHLD for those that are left out. Exit requests do leave them out.
    """
    while True:
        try:
            for child in ended:
                call(child)
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            failed(exc)
