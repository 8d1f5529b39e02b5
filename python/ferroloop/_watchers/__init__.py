"""Child watchers: who tells a loop that a process it started has ended (asyncio: Process Watchers).

asyncio dropped them in 3.14; here they are on every Python. All of them reap natively (`_ferroloop`), and differ in how
they learn that there is something to reap:

PidfdChildWatcher       the loop watches a descriptor of the process; the default
ThreadedChildWatcher    a thread per child waits; the default without pidfds
SafeChildWatcher        SIGCHLD in one loop, then each child is asked
FastChildWatcher        SIGCHLD in one loop, then whatever child has ended is reaped
MultiLoopChildWatcher   SIGCHLD in the main thread, for loops in all threads
"""

from __future__ import annotations

from .base import AbstractChildWatcher, ChildWatcher
from .multiloop import MultiLoopChildWatcher
from .pidfd import PidfdChildWatcher
from .sigchld import FastChildWatcher, SafeChildWatcher
from .slot import WatcherSlot, _child_watcher, get_child_watcher, set_child_watcher
from .threaded import ThreadedChildWatcher

__all__ = [
    "AbstractChildWatcher",
    "ChildWatcher",
    "FastChildWatcher",
    "MultiLoopChildWatcher",
    "PidfdChildWatcher",
    "SafeChildWatcher",
    "ThreadedChildWatcher",
    "WatcherSlot",
    "_child_watcher",
    "get_child_watcher",
    "set_child_watcher",
]
