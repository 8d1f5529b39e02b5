"""PidfdChildWatcher: the loop itself sees that a process has ended (pidfd_open(2), Linux 5.4)."""

from __future__ import annotations

import asyncio
import weakref

from .._ferroloop import Child
from .base import RunningLoopChildWatcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVarTuple

    _Ts = TypeVarTuple("_Ts")


class PidfdChildWatcher(RunningLoopChildWatcher):
    """Watches a descriptor of each process; no threads, no signals, no process but those registered.

    Works in every loop of every thread. A process registered again gets the new callback instead of the old one.
    """

    __module__ = "ferroloop"

    def __init__(self) -> None:
        # The children belong to their loops: one that is closed lets go of the descriptors.
        self._children: weakref.WeakValueDictionary[int, Child] = weakref.WeakValueDictionary()

    def add_child_handler(self, pid: int, callback: Callable[[int, int, *_Ts], object], *args: *_Ts) -> None:
        """As the base; `callback` runs in the running loop.

        Raises RuntimeError without a running loop, ProcessLookupError if somebody has waited for the process already,
        other OSErrors of pidfd_open(2).
        """
        child = Child(asyncio.get_running_loop(), pid, callback, args)
        self.remove_child_handler(pid)
        self._children[pid] = child

    def remove_child_handler(self, pid: int) -> bool:
        child = self._children.pop(pid, None)
        return child is not None and child.forget()
