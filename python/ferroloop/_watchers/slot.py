"""Where a child watcher set by the user is kept, and which watcher a loop uses."""

from __future__ import annotations

import asyncio
import sys
import threading
from asyncio import events

from .._ferroloop import can_use_pidfd
from .base import ChildWatcher
from .pidfd import PidfdChildWatcher
from .threaded import ThreadedChildWatcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._loop import EventLoop


class WatcherSlot:
    """A place for one child watcher, empty until it is set or asked for."""

    _watcher: ChildWatcher | None = None
    _lock = threading.Lock()

    def get_child_watcher(self) -> ChildWatcher:
        """Return the watcher; if none was set, a default one, which needs no loop to be attached to."""
        with self._lock:
            if self._watcher is None:
                self._watcher = _new_default()
            return self._watcher

    def set_child_watcher(self, watcher: ChildWatcher | None) -> None:
        """Close the watcher there is and put `watcher` in its place, unattached; None empties the place.

        Raises AssertionError if `watcher` is not a child watcher.
        """
        assert watcher is None or isinstance(watcher, ChildWatcher)
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = watcher


# Before 3.14 asyncio's policy makes one of these for the first asyncio loop that starts a process: nobody's choice.
if sys.version_info >= (3, 14):
    _ASYNCIOS_DEFAULTS: tuple[type, ...] = ()
else:
    _ASYNCIOS_DEFAULTS = (asyncio.ThreadedChildWatcher, asyncio.PidfdChildWatcher)

# Where there is no policy of ours.
_standalone = WatcherSlot()


def get_child_watcher() -> ChildWatcher:
    """Return the watcher kept by the current event loop policy if that is ferroloop's, otherwise by this process.

    If none was set it is a default one: PidfdChildWatcher where that works, else ThreadedChildWatcher.
    """
    return _current_slot().get_child_watcher()


def set_child_watcher(watcher: ChildWatcher | None) -> None:
    """Make `watcher` the one that all loops use, instead of each loop its own; None undoes that.

    The watcher there was is closed. The new one is attached to no loop: the ones that need it, Safe, Fast and
    MultiLoop, are attached by `attach_loop` in the main thread, or by ferroloop's policy whenever it sets a loop there.
    Raises AssertionError for what is no child watcher.
    """
    _current_slot().set_child_watcher(watcher)


def _child_watcher(loop: EventLoop) -> ChildWatcher:
    """The watcher for processes started from `loop`: one that was set, also through asyncio, or the loop's own."""
    for place in (_policy(), _standalone):
        watcher: ChildWatcher | None = getattr(place, "_watcher", None)
        chosen = isinstance(place, WatcherSlot) or type(watcher) not in _ASYNCIOS_DEFAULTS
        if watcher is not None and chosen:
            return watcher
    if loop._own_watcher is None:
        loop._own_watcher = _new_default()
    return loop._own_watcher


def _current_slot() -> WatcherSlot:
    policy = _policy()
    return policy if isinstance(policy, WatcherSlot) else _standalone


def _policy() -> Any:
    """The current policy, if there is one. Asking asyncio for it would make one, and warn from 3.14 on."""
    return getattr(events, "_event_loop_policy", None)


def _new_default() -> ChildWatcher:
    """The best watcher for this system that needs no main thread and leaves SIGCHLD alone."""
    return PidfdChildWatcher() if can_use_pidfd() else ThreadedChildWatcher()
