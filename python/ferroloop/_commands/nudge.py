"""Waking a thread of another process that sleeps in a system call, with nothing that its program could see."""

import ctypes
import os
import sys
import time

# ptrace(2), sys/ptrace.h: the same on all architectures.
_SEIZE = 0x4206
_INTERRUPT = 0x4207
_DETACH = 17
# Seconds between two looks whether it has stopped.
_PAUSE = 0.001


def nudge(tid: int, seconds: float) -> None:
    """Stop the thread for a moment, as debuggers do when they attach: its epoll_wait(2) ends with EINTR.

    Most other calls go on by themselves; signal(7) lists those that stops interrupt. It is no signal: no handler runs,
    and the parent of the process is not told. Nothing happens where the system refuses or has no such thing. A thread
    that does not stop within `seconds` is let go when this process ends.
    """
    if sys.platform != "linux" or _ptrace(_SEIZE, tid) or _ptrace(_INTERRUPT, tid):
        return
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            stopped, status = os.waitpid(tid, os.WNOHANG)
        except ChildProcessError:
            return
        if stopped:
            _ptrace(_DETACH, tid, _held_back(status))
            return
        time.sleep(_PAUSE)


def _held_back(status: int) -> int:
    """The signal that was on its way to the thread just when it was stopped, and is to go on; 0 if there is none."""
    is_own_stop = bool(status >> 16)
    return 0 if is_own_stop or not os.WIFSTOPPED(status) else os.WSTOPSIG(status)


def _ptrace(request: int, tid: int, data: int = 0) -> int:
    call = ctypes.CDLL(None).ptrace
    call.restype = ctypes.c_long
    return int(call(ctypes.c_long(request), ctypes.c_int(tid), ctypes.c_void_p(), ctypes.c_void_p(data)))
