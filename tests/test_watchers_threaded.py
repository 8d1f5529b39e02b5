"""S41: ThreadedChildWatcher."""

import logging
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable
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
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop
from support.scripts import Script
from support.turns import turn, until

pytestmark = watchers_of_both


@pytest.fixture
def watcher(loop_kind: str) -> Any:
    """A watcher."""
    return make_watcher(loop_kind, "ThreadedChildWatcher")


def waiting() -> list[threading.Thread]:
    """The threads that wait for children."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("asyncio-waitpid-")]


def until_over() -> None:
    """Wait until those threads have ended."""
    for thread in waiting():
        thread.join(10)
        assert not thread.is_alive()


def test_needs_a_running_loop(watcher: Any, strays: Children) -> None:
    """S41.1."""
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        watcher.add_child_handler(strays(held=True).pid, pytest.fail)
    assert waiting() == []


def test_one_daemon_thread_each(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S41.1, S41.2: numbered from 0, waiting while the loop's thread runs; S41.9: and no signal."""
    made = [children(held=True) for _ in range(3)]
    for child in made:
        register(loop, watcher, child, reports)
    assert [thread.name for thread in waiting()] == [f"asyncio-waitpid-{n}" for n in range(3)]
    assert all(thread.daemon for thread in waiting())
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    children.release()
    until(loop, lambda: len(reports.calls) == 3)
    until_over()
    assert waiting() == []


def test_always_active(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S41.3, S41.6: attach_loop, close and remove_child_handler do nothing."""
    child = children(3, held=True)
    register(loop, watcher, child, reports)
    for attached in (None, loop, None):
        watcher.attach_loop(attached)
        assert watcher.is_active() is True
    assert watcher.remove_child_handler(child.pid) is True
    assert watcher.remove_child_handler(-5) is True
    watcher.close()
    assert watcher.is_active() is True
    child.release()
    until(loop, lambda: reports.calls != [])
    assert reports.calls == [(child.pid, 3)]
    until_over()


@pytest.mark.parametrize("debug", [True, False])
def test_debug_line(
    loop: Loop, watcher: Any, children: Children, reports: Reports, logged: LogList, debug: bool
) -> None:
    """S41.4."""
    loop.set_debug(debug)
    child = children(3, held=True)
    register(loop, watcher, child, reports)
    child.release()
    until(loop, lambda: reports.calls != [])
    assert (f"process {child.pid} exited with returncode 3" in logged.texts(logging.DEBUG)) is debug
    until_over()


def test_finaliser(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S41.7, S0.9: warns while a thread waits."""
    child = children(held=True)
    register(loop, watcher, child, reports)
    text = re.escape(f"{type(watcher)} has registered but not finished child processes")
    with pytest.warns(ResourceWarning, match=f"^{text}$") as caught:
        watcher.__del__()
    assert caught[0].source is watcher
    child.release()
    until(loop, lambda: reports.calls != [])
    until_over()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watcher.__del__()


@ferroloop_only("asyncio reaps in the thread until 3.14", "S41.8, S47.3")
def test_reaped_in_the_loops_thread(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S41.8, S47.3: in one step with the callback; until then nobody else gets the pid."""
    child = children(3, held=True)
    zombie: list[bool] = []

    def busy() -> None:
        child.release()
        child.wait_until_dead()
        until_over()
        time.sleep(0.01)
        zombie.append(not child.is_reaped())

    register(loop, watcher, child, lambda *_: reports(child.is_reaped()))
    in_loop(loop, busy)
    until(loop, lambda: reports.calls != [])
    assert zombie == [True]
    assert reports.calls == [(True,)]


@ferroloop_only("asyncio's second thread ends with a KeyError", "S41.10")
def test_registered_twice(loop: Loop, watcher: Any, children: Children, reports: Reports, logged: LogList) -> None:
    """S41.10: both report; the first gets the code."""
    child = children(3, held=True)
    register(loop, watcher, child, reports)
    register(loop, watcher, child, reports)
    child.release()
    until(loop, lambda: len(reports.calls) == 2)
    assert reports.calls == [(child.pid, 3), (child.pid, 255)]
    assert logged.texts(logging.WARNING) == [f"Unknown child process pid {child.pid}, will report returncode 255"]
    until_over()


@ferroloop_only("asyncio remembers the thread that never was", "S41.1")
def test_no_thread_to_be_had(loop: Loop, watcher: Any, strays: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    """S41.1."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    child = strays(held=True)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            register(loop, watcher, child, pytest.fail)
    assert watcher._threads == {}
    turn(loop)


def test_the_interpreter_ends_first(run_script: Callable[..., Script], loop_kind: str) -> None:
    """S55.2, S41.6: it waits for no child, also if that ends while the interpreter does."""
    script = run_script(
        f"""
        import asyncio, os, sys, time, warnings
        warnings.simplefilter("ignore")
        import {loop_kind} as package
        class Late:
            def __del__(self):
                os.close(writer)
                time.sleep(0.2)
        reader, writer = os.pipe()
        async def main():
            watcher = package.ThreadedChildWatcher()
            pid = os.posix_spawn(
                "/bin/cat", ["cat"], {{}}, file_actions=[(os.POSIX_SPAWN_DUP2, reader, 0)]
            )
            watcher.add_child_handler(pid, print)
        loop = new_event_loop()
        loop.run_until_complete(main())
        sys.modules["late"] = Late()
        print("end", flush=True)
        """,
        seconds=20,
    )
    assert script.out == "end\n"
