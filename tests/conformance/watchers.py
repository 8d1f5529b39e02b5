"""Put another package's child watchers and policy under asyncio's names, for the Pythons whose asyncio has them."""

import asyncio
import importlib
import os
import sys
import warnings
from asyncio import unix_events
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

_DEPRECATED = ["SafeChildWatcher", "FastChildWatcher", "MultiLoopChildWatcher"]
_NAMES = [*_DEPRECATED, "AbstractChildWatcher", "ThreadedChildWatcher", "PidfdChildWatcher"]


def install(package: str, loop_class: type) -> None:
    """Replace the watchers, and the default policy by one that makes loops of `loop_class`, if the package has any."""
    theirs = importlib.import_module(package)
    if sys.version_info >= (3, 14) or not hasattr(theirs, "AbstractChildWatcher"):
        return
    for name in _NAMES:
        ours = getattr(theirs, name)
        _replace(name, _complaining(ours, name) if name in _DEPRECATED else ours)
    _replace("DefaultEventLoopPolicy", _policy(theirs.DefaultEventLoopPolicy, loop_class))
    unix_events._UnixDefaultEventLoopPolicy = unix_events.DefaultEventLoopPolicy
    _let_mocks_reap(importlib.import_module(f"{package}._watchers.sigchld"))
    _let_mocks_choose(importlib.import_module(f"{package}._watchers.slot"))


def _replace(name: str, value: Any) -> None:
    setattr(asyncio, name, value)
    setattr(unix_events, name, value)


def _complain(name: str) -> None:
    if sys.version_info >= (3, 12):
        warnings.warn(f"{name!r} is deprecated as of Python 3.12", DeprecationWarning, stacklevel=3)


def _complaining(base: Any, name: str) -> type:
    """The suite expects from 3.12 on what asyncio's own classes say when they are made."""

    def __init__(self: Any) -> None:
        base.__init__(self)
        _complain(name)

    return type(name, (base,), {"__init__": __init__})


def _policy(base: Any, loop_class: type) -> type:
    class Policy(base):
        _loop_factory = loop_class

        def get_child_watcher(self) -> Any:
            _complain("get_child_watcher")
            return super().get_child_watcher()

        def set_child_watcher(self, watcher: Any) -> None:
            _complain("set_child_watcher")
            super().set_child_watcher(watcher)

    return Policy


def _let_mocks_reap(module: Any) -> None:
    """Many tests make up children by a mock in place of os.waitpid, which a native call would not see."""
    sweep, reap_any = module.sweep, module.reap_any

    def _sweep(table: dict[int, Any], pids: Any) -> Iterator[Any]:
        if not isinstance(os.waitpid, mock.Mock):
            yield from sweep(table, pids)
            return
        for pid in pids:
            try:
                found, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                yield pid, table.pop(pid), None
                continue
            if found:
                yield pid, table.pop(pid), unix_events.waitstatus_to_exitcode(status)

    def _reap_any() -> tuple[int, int] | None:
        if not isinstance(os.waitpid, mock.Mock):
            return reap_any()
        try:
            found, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        return (found, unix_events.waitstatus_to_exitcode(status)) if found else None

    module.sweep, module.reap_any = _sweep, _reap_any


def _let_mocks_choose(module: Any) -> None:
    """From 3.12 on a test patches asyncio's can_use_pidfd to see what the default watcher is."""
    if sys.version_info < (3, 12):
        return
    own: Callable[[], bool] = module.can_use_pidfd
    stock = unix_events.can_use_pidfd

    def can_use_pidfd() -> bool:
        patched = unix_events.can_use_pidfd
        return own() if patched is stock else bool(patched())

    module.can_use_pidfd = can_use_pidfd
