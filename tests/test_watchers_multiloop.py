"""S40: MultiLoopChildWatcher."""

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.children import (
    Children,
    Reports,
    make_watcher,
    register,
    sigchld_held,
    watchers_of_both,
)
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, NewLoop
from support.signals import restarts_system_calls, wakeup_fd
from support.turns import turn, until

pytestmark = [watchers_of_both, pytest.mark.usefixtures("dispositions")]


def ignore(*args: object) -> None:
    """A signal handler."""


@pytest.fixture
def watcher(loop_kind: str) -> Iterator[Any]:
    """A watcher, not attached."""
    watcher = make_watcher(loop_kind, "MultiLoopChildWatcher")
    yield watcher
    watcher.close()


def test_attaching_installs_a_handler(loop: Loop, watcher: Any) -> None:
    """S40.1, S40.3, S40.10: once, whatever is attached, with SA_RESTART, without a wakeup descriptor."""
    signal.signal(signal.SIGCHLD, ignore)
    assert watcher.is_active() is False
    watcher.attach_loop(None)
    assert watcher.is_active() is True
    handler = signal.getsignal(signal.SIGCHLD)
    assert handler is not ignore
    assert wakeup_fd() == -1
    if sys.platform == "linux":
        assert restarts_system_calls(signal.SIGCHLD)
    watcher.attach_loop(loop)
    assert signal.getsignal(signal.SIGCHLD) == handler
    watcher.close()
    assert watcher.is_active() is False
    assert signal.getsignal(signal.SIGCHLD) is ignore
    watcher.attach_loop(loop)
    assert watcher.is_active() is True, "may be attached again"


def test_main_thread_only(watcher: Any) -> None:
    """S40.1."""
    errors: list[str] = []

    def attach() -> None:
        try:
            watcher.attach_loop(None)
        except ValueError as exc:
            errors.append(str(exc))

    thread = threading.Thread(target=attach)
    thread.start()
    thread.join()
    assert errors == ["signal only works in main thread of the main interpreter"]
    assert watcher.is_active() is False


def test_handler_set_by_c(watcher: Any, logged: LogList, monkeypatch: pytest.MonkeyPatch) -> None:
    """S40.2."""
    original = signal.signal
    with monkeypatch.context() as patched:
        patched.setattr(signal, "signal", lambda *args: (original(*args), None)[1])
        watcher.attach_loop(None)
    text = "Previous SIGCHLD handler was set by non-Python code, restore to default handler on watcher close."
    assert logged.texts(logging.WARNING) == [text]
    assert watcher.is_active() is True
    watcher.close()
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def test_handler_changed_by_others(watcher: Any, logged: LogList) -> None:
    """S40.10: theirs stays."""
    watcher.attach_loop(None)
    signal.signal(signal.SIGCHLD, ignore)
    watcher.close()
    assert logged.texts(logging.WARNING) == ["SIGCHLD handler was changed by outside code"]
    assert signal.getsignal(signal.SIGCHLD) is ignore
    assert watcher.is_active() is False


def test_closing_twice_and_never_attached(watcher: Any, logged: LogList) -> None:
    """S40.10."""
    watcher.close()
    watcher.attach_loop(None)
    watcher.close()
    watcher.close()
    assert logged.texts(logging.WARNING) == []


def test_needs_a_running_loop(watcher: Any, strays: Children) -> None:
    """S40.4."""
    watcher.attach_loop(None)
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        watcher.add_child_handler(strays(held=True).pid, pytest.fail)
    assert watcher._callbacks == {}


def test_the_main_thread_needs_no_loop(new_loop: NewLoop, watcher: Any, children: Children, reports: Reports) -> None:
    """S40.5: it only has to run Python code now and then."""
    watcher.attach_loop(None)

    def in_thread() -> None:
        loop = new_loop()
        child = children(3, held=True)
        register(loop, watcher, child, reports)
        child.release()
        until(loop, lambda: reports.calls != [])
        loop.close()

    thread = threading.Thread(target=in_thread)
    thread.start()
    while thread.is_alive():
        thread.join(0.01)
    assert [code for _, code in reports.calls] == [3]


@pytest.mark.parametrize("debug", [True, False])
def test_debug_line(
    loop: Loop, watcher: Any, children: Children, reports: Reports, logged: LogList, debug: bool
) -> None:
    """S40.7: for a child that was reaped here, if its loop is in debug mode."""
    loop.set_debug(debug)
    watcher.attach_loop(loop)
    child, stolen = children(3, held=True), children(4, held=True)
    for each in (child, stolen):
        register(loop, watcher, each, reports)
    child.release()
    until(loop, lambda: reports.calls != [])
    assert stolen.reap() == 4
    until(loop, lambda: len(reports.calls) == 2)
    assert reports.calls == [(child.pid, 3), (stolen.pid, 255)]
    assert (f"process {child.pid} exited with returncode 3" in logged.texts(logging.DEBUG)) is debug
    assert [text for text in logged.texts() if text.startswith(f"process {stolen.pid} ")] == []


def test_a_failure_in_the_handler(loop: Loop, watcher: Any, children: Children, logged: LogList) -> None:
    """S40.9: is logged with its traceback, and is nobody's exception."""
    watcher.attach_loop(loop)
    child = children(held=True)
    register(loop, watcher, child, pytest.fail)
    real = loop.call_soon_threadsafe
    loop.call_soon_threadsafe = lambda *_: 1 / 0
    child.release()
    until(loop, child.is_reaped)
    loop.call_soon_threadsafe = real
    (record,) = [record for record in logged.records if record.levelno == logging.WARNING]
    assert record.getMessage() == "Unknown exception in SIGCHLD handler"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


@ferroloop_only("asyncio leaves the others to the next signal, if there is one", "S40.9")
def test_a_failure_is_no_others_loss(
    new_loop: NewLoop, watcher: Any, children: Children, reports: Reports, logged: LogList
) -> None:
    """S40.9, S37.2."""
    good, bad = new_loop(), new_loop()
    watcher.attach_loop(None)
    made = [children(code, held=True) for code in range(4)]
    for loop, child in zip([bad, good, bad, good], made, strict=True):
        register(loop, watcher, child, reports)
    bad.call_soon_threadsafe = lambda *_: 1 / 0
    with sigchld_held():
        for child in made:
            child.release()
            child.wait_until_dead()
    until(good, lambda: len(reports.calls) == 2)
    assert sorted(code for _, code in reports.calls) == [1, 3]
    assert logged.texts(logging.WARNING) == ["Unknown exception in SIGCHLD handler"] * 2


def test_a_handler_of_a_loop_replaces_it(loop: Loop, watcher: Any, strays: Children, reports: Reports) -> None:
    """S40.12: a known conflict."""
    watcher.attach_loop(loop)
    child = strays(held=True)
    register(loop, watcher, child, reports)
    seen: list[int] = []
    loop.add_signal_handler(signal.SIGCHLD, seen.append, 1)
    child.release()
    until(loop, lambda: seen != [])
    turn(loop, 2)
    assert reports.calls == []
    loop.remove_signal_handler(signal.SIGCHLD)
    watcher._callbacks.clear()
    watcher.attach_loop(loop)


@ferroloop_only("asyncio reports 255 to whoever is polled twice at a time", "S40.5, S40.8, S45.2")
def test_registering_in_other_threads(new_loop: NewLoop, watcher: Any, children: Children, logged: LogList) -> None:
    """S40.5, S40.8: while signals interrupt the main thread anywhere, the handler itself included."""
    watcher.attach_loop(None)
    count, codes = 60, []

    async def start() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Queue[int]()
        assert loop is asyncio.get_running_loop()
        for code in range(count):
            with watcher:
                watcher.add_child_handler(children(code).pid, lambda _, code: ended.put_nowait(code))
        for _ in range(count):
            codes.append(await asyncio.wait_for(ended.get(), 30))

    def in_thread() -> None:
        loop = new_loop()
        loop.run_until_complete(start())
        loop.close()

    threads = [threading.Thread(target=in_thread) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.001)
    assert sorted(codes) == sorted(list(range(count)) * 3)
    assert logged.texts(logging.WARNING) == []


def test_attaching_finds_who_has_died(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S40.4: registered before, ended before: asked for when signals begin to be heard, or at the next one."""
    child, other = children(3, held=True), children(held=True)
    register(loop, watcher, child, reports)
    child.release()
    child.wait_until_dead()
    watcher.attach_loop(loop)
    register(loop, watcher, other, reports)
    other.release()
    until(loop, lambda: len(reports.calls) == 2)
    assert sorted(code for _, code in reports.calls) == [0, 3]
