"""S42: PidfdChildWatcher."""

import asyncio
import errno
import fcntl
import gc
import os
import signal
import sys
import threading
from typing import Any

import pytest
from support.children import (
    Children,
    Reports,
    in_loop,
    make_watcher,
    register,
    watchers_of_both,
)
from support.fds import open_fds
from support.gates import ferroloop_only
from support.loops import Loop
from support.turns import turn, until

pytestmark = watchers_of_both

# Until 3.12 asyncio's is bound to the loop it is attached to.
as_from_312 = ferroloop_only("asyncio has this form from 3.12 on, and no watchers from 3.14 on", "S42.6, S42.7")


@pytest.fixture
def watcher(loop_kind: str, loop: Loop) -> Any:
    """A watcher at work in `loop`."""
    watcher = make_watcher(loop_kind, "PidfdChildWatcher")
    watcher.attach_loop(loop)
    return watcher


def pidfds() -> list[int]:
    """The open descriptors of processes."""
    return [fd for fd in open_fds() if "pidfd" in os.readlink(f"/proc/self/fd/{fd}")]


@pytest.fixture(autouse=True)
def _needs_proc() -> None:
    if sys.platform != "linux":
        pytest.skip("pidfds are Linux's")


def test_one_descriptor_and_nothing_else(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S42.1, S42.8: no thread, no signal; closed on exec, and before the callback runs."""
    child = children(held=True)
    threads = threading.active_count()
    register(loop, watcher, child, lambda *_: reports(pidfds()))
    assert threading.active_count() == threads
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    (pidfd,) = pidfds()
    assert fcntl.fcntl(pidfd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    child.release()
    until(loop, lambda: reports.calls != [])
    assert reports.calls == [([],)]


def test_a_failing_callback(loop: Loop, watcher: Any, children: Children, errors: list[dict[str, Any]]) -> None:
    """S42.3, S3.10: is reported, and leaves no descriptor."""
    child = children(held=True)
    register(loop, watcher, child, lambda *_: 1 / 0)
    child.release()
    until(loop, lambda: errors != [])
    assert isinstance(errors[0]["exception"], ZeroDivisionError)
    assert errors[0]["message"].startswith("Exception in callback ")
    assert pidfds() == []


def test_no_such_process(loop: Loop, watcher: Any, strays: Children) -> None:
    """S42.4: said by add_child_handler."""
    child = strays(1)
    assert child.reap() == 1
    with pytest.raises(ProcessLookupError):
        register(loop, watcher, child, pytest.fail)
    assert pidfds() == []


@pytest.mark.parametrize("pid", [0, -1])
def test_no_such_pid(loop: Loop, watcher: Any, pid: int) -> None:
    """S42.4."""
    with pytest.raises(OSError, match="Invalid argument") as caught:
        in_loop(loop, watcher.add_child_handler, pid, pytest.fail)
    assert caught.value.errno == errno.EINVAL


@as_from_312
def test_needs_a_running_loop(watcher: Any, strays: Children) -> None:
    """S42.6."""
    child = strays(held=True)
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        watcher.add_child_handler(child.pid, pytest.fail)
    assert pidfds() == []


@as_from_312
def test_needs_no_attachment(loop_kind: str, loop: Loop, children: Children, reports: Reports) -> None:
    """S42.6: attach_loop and close do nothing."""
    watcher = make_watcher(loop_kind, "PidfdChildWatcher")
    assert watcher.is_active() is True
    child = children(3, held=True)
    register(loop, watcher, child, reports)
    for attached in (None, loop, None):
        watcher.attach_loop(attached)
    watcher.close()
    assert watcher.is_active() is True
    child.release()
    until(loop, lambda: reports.calls != [])
    assert reports.calls == [(child.pid, 3)]


@as_from_312
def test_a_second_registration_replaces(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S42.7, S37.2: dead or alive."""
    child = children(3, held=True)
    register(loop, watcher, child, reports, "first")
    register(loop, watcher, child, reports, "second")
    assert len(pidfds()) == 1
    child.release()
    child.wait_until_dead()
    register(loop, watcher, child, reports, "third")
    until(loop, lambda: reports.calls != [])
    turn(loop, 2)
    assert reports.calls == [(child.pid, 3, "third")]


@as_from_312
def test_remove(loop: Loop, watcher: Any, strays: Children, reports: Reports) -> None:
    """S42.7, S38.14: the child is never reaped by this watcher then."""
    child = strays(3, held=True)
    assert watcher.remove_child_handler(child.pid) is False
    register(loop, watcher, child, reports)
    assert watcher.remove_child_handler(child.pid) is True
    assert watcher.remove_child_handler(child.pid) is False
    assert pidfds() == []
    child.release()
    child.wait_until_dead()
    turn(loop, 2)
    assert child.reap() == 3
    assert reports.calls == []


@as_from_312
def test_remove_in_the_same_iteration(loop: Loop, watcher: Any, strays: Children, reports: Reports) -> None:
    """S42.7: also after the loop has seen the end, and before it says so."""
    dead = [strays(held=True), strays(held=True)]
    for child in dead:
        register(loop, watcher, child, lambda pid, _code: [watcher.remove_child_handler(c.pid) for c in dead])
    register(loop, watcher, dead[0], lambda *_: (reports(), watcher.remove_child_handler(dead[1].pid)))
    register(loop, watcher, dead[1], lambda *_: (reports(), watcher.remove_child_handler(dead[0].pid)))
    for child in dead:
        child.release()
        child.wait_until_dead()
    turn(loop, 3)
    assert reports.calls == [()], "one of them came first and removed the other"
    assert pidfds() == []


@as_from_312
def test_reported_children_are_forgotten(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S42.7: there is nothing left to remove, nor to keep the callback alive."""
    child = children(held=True)
    register(loop, watcher, child, reports)
    count = sys.getrefcount(reports)
    child.release()
    until(loop, lambda: reports.calls != [])
    assert watcher.remove_child_handler(child.pid) is False
    gc.collect()
    assert sys.getrefcount(reports) < count


@as_from_312
def test_in_a_foreign_loop(children: Children, reports: Reports, watcher: Any) -> None:
    """S42.1, S42.6: any loop that has readers will do."""
    foreign = asyncio.SelectorEventLoop()
    child = children(9, held=True)
    register(foreign, watcher, child, reports)
    child.release()
    until(foreign, lambda: reports.calls != [])
    foreign.close()
    assert reports.calls == [(child.pid, 9)]
