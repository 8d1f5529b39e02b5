"""Signals sent to this process, and what the process does with them."""

import contextlib
import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

_TOUCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)


@contextlib.contextmanager
def untouched_signals() -> Iterator[None]:
    """Put handlers and wakeup descriptor back afterwards; fail if the wakeup descriptor was left set."""
    before = {number: signal.getsignal(number) for number in _TOUCHED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        left = signal.set_wakeup_fd(-1)
    assert left == -1, f"the wakeup descriptor was left at {left}"


@pytest.fixture
def dispositions() -> Iterator[None]:
    """`untouched_signals` around a test."""
    with untouched_signals():
        yield


def wakeup_fd() -> int:
    """Where the numbers of signals go, -1 for nowhere."""
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    return fd


def restarts_system_calls(number: int) -> bool:
    """Whether SA_RESTART is set, as sigaction(2) tells. Linux with glibc, 64 bits."""

    class Sigaction(ctypes.Structure):
        _fields_ = (
            ("handler", ctypes.c_void_p),
            ("mask", ctypes.c_ulong * 16),
            ("flags", ctypes.c_int),
            ("restorer", ctypes.c_void_p),
        )

    action = Sigaction()
    assert ctypes.CDLL(None).sigaction(int(number), None, ctypes.byref(action)) == 0
    return bool(action.flags & 0x10000000)


class Delayed:
    """Sends this process a signal from a thread, some time after `start()`: the main thread sleeps by then."""

    def __init__(self, number: int, delay: float = 0.03) -> None:
        self._thread = threading.Thread(target=self._send, args=(number, delay))
        self.sent = 0.0
        self.start = self._thread.start
        self.join = self._thread.join

    def _send(self, number: int, delay: float) -> None:
        time.sleep(delay)
        self.sent = time.monotonic()
        os.kill(os.getpid(), number)


def succeeds_within(seconds: float, attempt: Callable[[], float], times: int = 10) -> bool:
    """Whether one of a few attempts takes no longer: the machine may be busy, the loop may not."""
    return any(attempt() < seconds for _ in range(times))
