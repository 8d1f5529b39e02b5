"""The end of the interpreter, for loops that run in daemon threads, and for threads that wait for children.

Until Python 3.14 a daemon thread that asks for the GIL of an ending interpreter is ended by force. That takes the whole
process down if the thread's stack holds frames that cannot be unwound, as a native loop's. So those loops are told to
stop where they hold no GIL, and so are the threads of `ThreadedChildWatcher`. From then on the loops refuse work as
closed ones do, so that an exit function that comes later and still wants one gets an error and does not wait for ever.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
import weakref

from ._ferroloop import park_waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._loop import EventLoop


# Seconds to wait for callbacks that are running.
_PATIENCE = 1.0

_loops: weakref.WeakSet[EventLoop] = weakref.WeakSet()


def note_run(loop: EventLoop) -> None:
    """Remember a loop that runs outside of the main thread, where that makes a difference."""
    if sys.version_info < (3, 14) and threading.current_thread() is not threading.main_thread():
        _loops.add(loop)


def _park() -> None:
    running = [loop for loop in _loops if loop.is_running()]
    for loop in running:
        loop._park()
    deadline = time.monotonic() + _PATIENCE
    while (park_waiting() or not all(loop._parked for loop in running)) and time.monotonic() < deadline:
        time.sleep(0.001)


if sys.version_info < (3, 14):
    atexit.register(_park)
