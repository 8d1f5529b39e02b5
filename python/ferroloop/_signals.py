"""Unix signals (asyncio: Unix signals; signal.set_wakeup_fd).

Python's own C handler writes the number of every signal that has a Python handler into the wakeup descriptor. While a
loop runs in the main thread that is the loop's self-pipe: a sleeping loop wakes at once for whatever was installed with
`signal.signal` (Ctrl-C above all), and queues the handles of what was added here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import os
import signal
import sys
import threading
import warnings
from asyncio.coroutines import _is_coroutine  # type: ignore[attr-defined]
from asyncio.log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, TypeAlias, TypeVarTuple

    from ._loop import EventLoop
    from ._run import Outside

    _Ts = TypeVarTuple("_Ts")
    # A descriptor with device and inode of its file, since its number may be another file's later.
    Descriptor: TypeAlias = tuple[int, int, int]


def add_signal_handler(loop: EventLoop, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
    """Call `callback(*args)` in the loop whenever signal `sig` arrives, in place of an earlier callback.

    Raises TypeError for a coroutine or a `sig` that is not an int, ValueError for a number that is no signal,
    RuntimeError if the loop is closed, the signal cannot be caught, or outside of the main thread of the main
    interpreter.
    """
    if asyncio.iscoroutine(callback) or _is_coroutine_function(callback):
        raise TypeError("coroutines cannot be used with add_signal_handler()")
    _check_signal(sig)
    loop._check_closed()
    try:
        # First of all, since it refuses other threads.
        previous = signal.set_wakeup_fd(loop._signal_fd())
    except (ValueError, OSError) as exc:
        raise RuntimeError(str(exc)) from exc
    if previous not in (-1, loop._signal_fd()):
        loop._displaced_wakeup_fd = _identify(previous)
    handle = loop._make_handle(callback, args)
    if handle._source_traceback:
        del handle._source_traceback[-1]  # this frame: the user's is the last one
    loop._signal_handlers[sig] = handle
    try:
        # The wakeup descriptor gets nothing from signals without a Python handler.
        signal.signal(sig, _do_nothing)
        signal.siginterrupt(sig, False)
    except OSError as exc:
        del loop._signal_handlers[sig]
        _let_go_of_wakeup_fd(loop)
        _raise_uncatchable(sig, exc)


def remove_signal_handler(loop: EventLoop, sig: int) -> bool:
    """Give the signal its default action back. Return False if there was no handler.

    Raises TypeError and ValueError as `add_signal_handler`.
    """
    _check_signal(sig)
    if loop._signal_handlers.pop(sig, None) is None:
        return False
    try:
        signal.signal(sig, signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL)
    except OSError as exc:
        _raise_uncatchable(sig, exc)
    _let_go_of_wakeup_fd(loop)
    return True


def remove_signal_handlers(loop: EventLoop) -> None:
    """On close: remove all handlers and the wakeup descriptor, unless the interpreter is being torn down.

    The descriptor goes with the last handler; without any, somebody else may have put it in place.
    """
    if not sys.is_finalizing():
        if not loop._signal_handlers:
            _forget_wakeup_fd(loop)
        for sig in list(loop._signal_handlers):
            loop.remove_signal_handler(sig)
    elif loop._signal_handlers:
        warnings.warn(
            f"Closing the loop {loop!r} on interpreter shutdown stage, skipping signal handlers removal",
            ResourceWarning,
            stacklevel=2,
            source=loop,
        )
        loop._signal_handlers.clear()


def take_wakeup_fd(loop: EventLoop, outside: Outside) -> None:
    """Let signals wake `loop`, but not in threads that get none, nor if they go elsewhere already.

    A descriptor that somebody else has set keeps getting its bytes, as under asyncio; a signal still interrupts a poll
    of the main thread. The same if there is no descriptor to be had: that is no reason not to run.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return
    try:
        ours = loop._signal_fd()
    except OSError:
        return
    outside.took_wakeup_fd = True
    try:
        previous = signal.set_wakeup_fd(ours, warn_on_full_buffer=bool(loop._signal_handlers))
    except ValueError:  # the main thread of a subinterpreter
        outside.took_wakeup_fd = False
        return
    if previous not in (-1, ours):
        with contextlib.suppress(OSError, ValueError):  # closed, or made blocking: it cannot be put back
            signal.set_wakeup_fd(previous, warn_on_full_buffer=False)
            outside.took_wakeup_fd = False


def give_wakeup_fd_back(loop: EventLoop) -> None:
    """Let signals go where they went before, unless the loop has handlers or somebody took the descriptor meanwhile."""
    if loop._signal_handlers:
        return
    displaced = loop._displaced_wakeup_fd
    fd = displaced[0] if displaced is not None and _identify(displaced[0]) == displaced else -1
    current = _set_wakeup_fd(fd)
    if current not in (-1, loop._signal_fd()):
        _set_wakeup_fd(current)
    loop._displaced_wakeup_fd = None


def _forget_wakeup_fd(loop: EventLoop) -> None:
    """The number of the loop's descriptor may be a stranger's soon."""
    if threading.get_ident() != threading.main_thread().ident:
        return
    current = _set_wakeup_fd(-1)
    if current != -1 and not _is_own(loop, current):
        _set_wakeup_fd(current)


def _is_own(loop: EventLoop, fd: int) -> bool:
    try:
        return fd == loop._signal_fd()
    except OSError:  # it has none, and gets none
        return False


def _let_go_of_wakeup_fd(loop: EventLoop) -> None:
    """A handler is gone. Without any a run still wants to be woken, but not at the cost of somebody else."""
    run_took_it = loop._outside is not None and loop._outside.took_wakeup_fd
    if not run_took_it or loop._displaced_wakeup_fd is not None:
        give_wakeup_fd_back(loop)


def _identify(fd: int) -> Descriptor | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return fd, status.st_dev, status.st_ino


def _set_wakeup_fd(fd: int) -> int:
    # Whether its owner wants warnings cannot be asked for, so none are made.
    try:
        return signal.set_wakeup_fd(fd) if fd == -1 else signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    except (ValueError, OSError) as exc:  # the descriptor is not open any more
        logger.info("set_wakeup_fd(%s) failed: %s", fd, exc)
        return -1


def _check_signal(sig: int) -> None:
    if not isinstance(sig, int):
        raise TypeError(f"sig must be an int, not {sig!r}")
    if sig not in signal.valid_signals():
        raise ValueError(f"invalid signal number {sig}")


def _raise_uncatchable(sig: int, exc: OSError) -> NoReturn:
    if exc.errno == errno.EINVAL:  # SIGKILL, SIGSTOP
        raise RuntimeError(f"sig {sig} cannot be caught") from exc
    raise exc


def _is_coroutine_function(callback: object) -> bool:
    """asyncio.iscoroutinefunction, which warns from 3.14 on."""
    return inspect.iscoroutinefunction(callback) or getattr(callback, "_is_coroutine", None) is _is_coroutine


def _do_nothing(signum: int, frame: object) -> None:
    """The Python-level handler: the number has already gone into the wakeup descriptor."""
