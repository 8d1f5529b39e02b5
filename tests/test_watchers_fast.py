"""S39: FastChildWatcher. What it shares with Safe is in test_watchers_safe.py."""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.children import (
    Child,
    Children,
    Reports,
    attached,
    make_watcher,
    register,
    register_in_a_thread,
    watchers_of_both,
)
from support.log import LogList
from support.loops import Loop
from support.turns import turn, until

pytestmark = [watchers_of_both, pytest.mark.usefixtures("dispositions")]


@pytest.fixture
def watcher(loop: Loop, loop_kind: str) -> Iterator[Any]:
    """A watcher at work in `loop`."""
    with attached(loop, make_watcher(loop_kind, "FastChildWatcher")) as watcher:
        yield watcher


def until_reaped(loop: Loop, child: Child) -> None:
    """Run until the watcher has taken the child's status."""
    child.release()
    until(loop, child.is_reaped)
    turn(loop)


def test_inside_with_only(watcher: Any, strays: Children) -> None:
    """S39.3: said before anything else."""
    child = strays(held=True)
    with pytest.raises(AssertionError, match=r"^Must use the context manager$"):
        watcher.add_child_handler(child.pid, pytest.fail)
    with watcher:
        pass
    with pytest.raises(AssertionError, match=r"^Must use the context manager$"):
        watcher.add_child_handler(child.pid, pytest.fail)
    assert watcher._callbacks == {}


def test_ended_before_it_is_registered(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S39.1, S39.4, S39.7: inside `with` it is kept until it is claimed."""
    with watcher:
        child = children(5)
        until_reaped(loop, child)
        assert watcher._zombies == {child.pid: 5}
        watcher.add_child_handler(child.pid, reports, "arg")
        assert reports.calls == [(child.pid, 5, "arg")], "inside the call"
        assert watcher._zombies == {}


def test_a_callback_may_use_the_watcher(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S39.4, S39.6: it runs outside of the lock."""

    def ended(pid: int, code: int) -> None:
        with watcher:
            watcher.add_child_handler(children(code + 1).pid, reports)

    with watcher:
        child = children(1)
        until_reaped(loop, child)
        watcher.add_child_handler(child.pid, ended)
    register(loop, watcher, children(3), ended)
    until(loop, lambda: len(reports.calls) == 2)
    assert sorted(code for _, code in reports.calls) == [2, 4]


@pytest.mark.parametrize("debug", [True, False])
def test_unclaimed(loop: Loop, watcher: Any, strays: Children, logged: LogList, debug: bool) -> None:
    """S39.7, S39.9: a warning when the last `with` is left, and they are forgotten."""
    loop.set_debug(debug)
    with watcher:
        child = strays(6)
        until_reaped(loop, child)
        text = f"unknown process {child.pid} exited with returncode 6"
        assert (text in logged.texts(logging.DEBUG)) is debug
        assert logged.texts(logging.WARNING) == []
    table = {child.pid: 6}
    assert logged.texts(logging.WARNING) == [f"Caught subprocesses termination from unknown pids: {table}"]
    assert watcher._zombies == {}


def test_nested_with(loop: Loop, watcher: Any, children: Children, reports: Reports, logged: LogList) -> None:
    """S39.2: counted, over all threads."""
    entered, leave = threading.Event(), threading.Event()

    def in_thread() -> None:
        with watcher:
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=in_thread)
    thread.start()
    assert entered.wait(10)
    with watcher, watcher:
        child = children(7)
        until_reaped(loop, child)
    assert watcher._zombies == {child.pid: 7}, "the thread may yet claim it"
    with watcher:
        watcher.add_child_handler(child.pid, reports)
    leave.set()
    thread.join()
    assert reports.calls == [(child.pid, 7)]
    assert logged.texts(logging.WARNING) == []


def test_strangers(loop: Loop, watcher: Any, strays: Children, logged: LogList) -> None:
    """S39.8, S39.11: reaped although nobody asked, which is the hazard of this watcher."""
    child = strays(8)
    until_reaped(loop, child)
    text = f"Caught subprocess termination from unknown pid: {child.pid} -> 8"
    assert logged.texts(logging.WARNING) == [text]
    with pytest.raises(ChildProcessError):
        child.reap()


def test_removed_handlers(loop: Loop, watcher: Any, strays: Children, logged: LogList) -> None:
    """S39.10: the child is a stranger then."""
    child = strays(9, held=True)
    register(loop, watcher, child, pytest.fail)
    assert watcher.remove_child_handler(child.pid) is True
    until_reaped(loop, child)
    text = f"Caught subprocess termination from unknown pid: {child.pid} -> 9"
    assert logged.texts(logging.WARNING) == [text]


def test_somebody_else_reaped_it(loop: Loop, watcher: Any, strays: Children, reports: Reports, logged: LogList) -> None:
    """S39.12: it cannot know, and says nothing."""
    child = strays(7, held=True)
    register(loop, watcher, child, reports)
    assert child.reap() == 7
    turn(loop, 3)
    assert reports.calls == []
    assert logged.texts(logging.WARNING) == []
    watcher._callbacks.clear()


def test_close_forgets_everything(loop: Loop, watcher: Any, strays: Children, logged: LogList) -> None:
    """S39.10."""
    with watcher:
        until_reaped(loop, strays(1))
        register(loop, watcher, strays(held=True), pytest.fail)
        watcher.close()
        assert (watcher._callbacks, watcher._zombies) == ({}, {})
    assert logged.texts(logging.WARNING) == []


def test_registering_in_another_thread(
    loop: Loop, watcher: Any, children: Children, reports: Reports, logged: LogList
) -> None:
    """S37.4, S39.2: while the loop reaps."""
    register_in_a_thread(loop, watcher, children, reports)
    assert logged.texts(logging.WARNING) == []
