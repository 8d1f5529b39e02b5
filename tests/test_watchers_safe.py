"""S38: SafeChildWatcher, and what it shares with Fast: attaching to one loop, and SIGCHLD there."""

import asyncio
import logging
import os
import re
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from support.children import (
    Children,
    Reports,
    attached,
    in_loop,
    make_watcher,
    register,
    register_in_a_thread,
    sigchld_held,
    watchers_of_both,
)
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, NewLoop
from support.signals import wakeup_fd
from support.turns import turn, until

pytestmark = [watchers_of_both, pytest.mark.usefixtures("dispositions")]

DETACHED = "^A loop is being detached from a child watcher with pending handlers$"


@pytest.fixture(params=["SafeChildWatcher", "FastChildWatcher"])
def name(request: pytest.FixtureRequest) -> str:
    """Both; a test for one of them says so."""
    return str(request.param)


@pytest.fixture
def watcher(loop_kind: str, name: str) -> Iterator[Any]:
    """A watcher, not attached."""
    watcher = make_watcher(loop_kind, name)
    yield watcher
    watcher.close()


only_safe = pytest.mark.parametrize("name", ["SafeChildWatcher"])


def test_starts_detached(watcher: Any) -> None:
    """S38.1, S38.4."""
    assert watcher.is_active() is False
    assert watcher._loop is None
    assert watcher._callbacks == {}


def test_attaching_takes_sigchld(loop: Loop, watcher: Any) -> None:
    """S38.2: and detaching gives it up."""
    assert watcher.attach_loop(loop) is None
    assert wakeup_fd() != -1
    assert signal.getsignal(signal.SIGCHLD) != signal.SIG_DFL
    assert loop.remove_signal_handler(signal.SIGCHLD) is True
    watcher.attach_loop(loop)
    watcher.attach_loop(None)
    assert loop.remove_signal_handler(signal.SIGCHLD) is False
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


@pytest.mark.parametrize("wrong", [1, "loop", object()])
def test_only_loops_can_be_attached(watcher: Any, wrong: Any) -> None:
    """S38.2."""
    with pytest.raises(AssertionError):
        watcher.attach_loop(wrong)


def test_active_while_the_loop_runs(loop: Loop, watcher: Any) -> None:
    """S38.4."""
    watcher.attach_loop(loop)
    assert watcher.is_active() is False
    assert in_loop(loop, watcher.is_active) is True
    assert watcher.is_active() is False


def test_main_thread_only(loop: Loop, watcher: Any) -> None:
    """S38.3, S35.5: and a failure attaches nothing."""
    errors: list[str] = []

    def attach() -> None:
        try:
            watcher.attach_loop(loop)
        except RuntimeError as exc:
            errors.append(str(exc))

    thread = threading.Thread(target=attach)
    thread.start()
    thread.join()
    assert errors == ["set_wakeup_fd only works in main thread of the main interpreter"]
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    watcher._loop = None


@ferroloop_only("asyncio believes itself attached", "S38.3")
def test_a_failure_to_attach_attaches_nothing(loop: Loop, watcher: Any) -> None:
    """S38.3."""
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        watcher.attach_loop(loop)
    assert watcher.is_active() is False
    assert watcher._loop is None


def test_detaching_warns_of_children(loop: Loop, watcher: Any, strays: Children) -> None:
    """S38.2."""
    watcher.attach_loop(loop)
    register(loop, watcher, strays(held=True), pytest.fail)
    with pytest.warns(RuntimeWarning, match=DETACHED) as caught:
        watcher.attach_loop(None)
    assert len(caught) == 1


def test_no_warning_without_children_or_on_close(loop: Loop, watcher: Any, strays: Children) -> None:
    """S38.2, S38.5, S39.10."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watcher.attach_loop(loop)
        watcher.attach_loop(None)
        watcher.attach_loop(loop)
        register(loop, watcher, strays(held=True), pytest.fail)
        watcher.close()
    assert watcher._callbacks == {}
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def test_moving_to_another_loop(new_loop: NewLoop, watcher: Any, children: Children, reports: Reports) -> None:
    """S38.2, S37.4: the former is left first, nothing is warned of, and who has died meanwhile is found."""
    first, second = new_loop(), new_loop()
    watcher.attach_loop(first)
    early, late = children(1, held=True), children(2, held=True)
    for child in (early, late):
        register(first, watcher, child, lambda *args: reports(*args, asyncio._get_running_loop()))
    early.release()
    early.wait_until_dead()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watcher.attach_loop(second)
    assert reports.calls == [(early.pid, 1, None)], "found by asking: neither loop has run"
    assert first.remove_signal_handler(signal.SIGCHLD) is False
    late.release()
    until(second, lambda: len(reports.calls) == 2)
    assert reports.calls[1] == (late.pid, 2, second)


@ferroloop_only("asyncio fails later, with an AttributeError", "S38.9, S39.3")
def test_no_loop_attached(watcher: Any, strays: Children) -> None:
    """S38.9, S39.3: said before anything is stored."""
    text = "^Cannot add child handler, the child watcher does not have a loop attached$"
    with watcher, pytest.raises(RuntimeError, match=text):
        watcher.add_child_handler(strays().pid, pytest.fail)
    assert watcher._callbacks == {}


@only_safe
@pytest.mark.parametrize("pid", [0, -1])
def test_no_pid(loop: Loop, watcher: Any, pid: int) -> None:
    """S38.10."""
    watcher.attach_loop(loop)
    with pytest.raises(AssertionError):
        watcher.add_child_handler(pid, pytest.fail)
    watcher._callbacks.clear()


@only_safe
def test_registering_asks_at_once(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S38.8: the callback may run inside the call, wherever that is."""
    watcher.attach_loop(loop)
    child = children(4)
    child.wait_until_dead()
    watcher.add_child_handler(child.pid, reports, "arg")
    assert reports.calls == [(child.pid, 4, "arg")]
    turn(loop, 2)
    assert len(reports.calls) == 1


@pytest.mark.parametrize("debug", [True, False])
def test_debug_line(
    loop: Loop, watcher: Any, children: Children, reports: Reports, logged: LogList, debug: bool
) -> None:
    """S38.12, S39.6."""
    loop.set_debug(debug)
    watcher.attach_loop(loop)
    child = children(3, held=True)
    register(loop, watcher, child, reports)
    child.release()
    until(loop, lambda: reports.calls != [])
    assert (f"process {child.pid} exited with returncode 3" in logged.texts(logging.DEBUG)) is debug


def test_one_signal_for_many(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S39.5, S38.7: signals are coalesced, ends are not."""
    watcher.attach_loop(loop)
    made = [children(code, held=True) for code in range(10)]
    for child in made:
        register(loop, watcher, child, reports)
    with sigchld_held():
        for child in made:
            child.release()
            child.wait_until_dead()
    until(loop, lambda: len(reports.calls) == 10)
    assert sorted(reports.calls) == sorted((child.pid, child.ending) for child in made)


def test_a_failing_callback(loop: Loop, watcher: Any, children: Children, errors: list[dict[str, Any]]) -> None:
    """S38.6."""
    watcher.attach_loop(loop)
    child = children(held=True)
    register(loop, watcher, child, lambda *_: 1 / 0)
    child.release()
    until(loop, lambda: errors != [])
    assert [error["message"] for error in errors] == ["Unknown exception in SIGCHLD handler"]
    assert isinstance(errors[0]["exception"], ZeroDivisionError)


@ferroloop_only("asyncio leaves the others to the next signal, if there is one", "S38.6")
def test_a_failing_callback_is_no_others_loss(
    loop: Loop, watcher: Any, children: Children, reports: Reports, errors: list[dict[str, Any]]
) -> None:
    """S38.6, S37.2: one signal, three ends, two failures."""
    watcher.attach_loop(loop)
    made = [children(held=True) for _ in range(3)]
    for child in made:
        register(loop, watcher, child, lambda *args: (reports(*args), 1 / (len(reports.calls) - 2)))
    with sigchld_held():
        for child in made:
            child.release()
            child.wait_until_dead()
    until(loop, lambda: len(reports.calls) == 3)
    assert len(errors) == 1


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_exit_requests_pass(loop: Loop, watcher: Any, children: Children, kind: type[BaseException]) -> None:
    """S38.6, S0.11."""

    def leave(*_args: object) -> None:
        raise kind

    watcher.attach_loop(loop)
    child = children(held=True)
    register(loop, watcher, child, leave)
    child.release()
    loop.call_later(10, loop.stop)
    with pytest.raises(kind):
        loop.run_forever()


@only_safe
def test_the_table_may_change_meanwhile(
    loop: Loop, watcher: Any, children: Children, strays: Children, reports: Reports
) -> None:
    """S38.7, S38.13: a callback adds and removes; nobody is missed, and nobody is unexpected."""
    watcher.attach_loop(loop)
    made = [children(held=True) for _ in range(2)]
    other = strays(held=True)

    def ended(pid: int, code: int) -> None:
        reports(pid, code)
        watcher.remove_child_handler(other.pid)
        if len(reports.calls) == 1:
            dead = children(7)
            dead.wait_until_dead()
            watcher.add_child_handler(dead.pid, reports)

    for child in (*made, other):
        register(loop, watcher, child, ended)
    for child in made:
        child.release()
        child.wait_until_dead()
    until(loop, lambda: len(reports.calls) == 3)
    assert sorted(code for _, code in reports.calls) == [0, 0, 7]
    assert watcher._callbacks == {}


@only_safe
@ferroloop_only("asyncio polls a child in two threads at a time, and reports 255", "S38.13, S45.2")
def test_registering_in_another_thread(
    loop: Loop, watcher: Any, children: Children, reports: Reports, logged: LogList
) -> None:
    """S37.4, S38.13: while the loop asks for the same children."""
    watcher.attach_loop(loop)
    loop.set_debug(True)
    register_in_a_thread(loop, watcher, children, reports)
    assert logged.texts(logging.WARNING) == []


def test_a_late_signal_after_detaching(loop: Loop, watcher: Any, strays: Children, logged: LogList) -> None:
    """S38.2: one that was on its way already says nothing."""
    watcher.attach_loop(loop)
    child = strays(held=True)
    register(loop, watcher, child, pytest.fail)
    child.release()
    child.wait_until_dead()
    os.kill(os.getpid(), signal.SIGCHLD)
    watcher.close()
    turn(loop, 2)
    assert [text for text in logged.texts() if re.search("SIGCHLD|child", text)] == []


@ferroloop_only("asyncio's needs its loop to be told apart", "S38.4")
def test_attached_to_a_foreign_loop(watcher: Any, children: Children, reports: Reports) -> None:
    """S38.2: any loop that handles signals will do."""
    foreign = asyncio.SelectorEventLoop()
    with attached(foreign, watcher):
        child = children(9, held=True)
        register(foreign, watcher, child, reports)
        child.release()
        until(foreign, lambda: reports.calls != [])
    foreign.close()
    assert reports.calls == [(child.pid, 9)]
