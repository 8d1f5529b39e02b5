"""S37, S45: what all child watchers have in common."""

import asyncio
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.children import (
    BY_SIGCHLD,
    CAREFUL,
    FOR_ALL_LOOPS,
    NAMES,
    Children,
    Reports,
    asyncio_cannot,
    attached,
    in_loop,
    make_watcher,
    register,
    watcher_class,
    watchers_of_both,
)
from support.gates import before, ferroloop_only
from support.log import LogList
from support.loops import Loop, NewLoop
from support.scripts import Script
from support.turns import turn, until

pytestmark = [watchers_of_both, pytest.mark.usefixtures("dispositions")]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Each of the five watchers in turn; a test for some of them has its own list."""
    return str(request.param)


@pytest.fixture
def watcher(loop_kind: str, loop: Loop, name: str) -> Iterator[Any]:
    """A watcher at work in `loop`."""
    with attached(loop, make_watcher(loop_kind, name)) as watcher:
        yield watcher


def test_abstract_methods(loop_kind: str) -> None:
    """S37.1: the base promises everything and does nothing."""
    watcher = watcher_class(loop_kind, "AbstractChildWatcher")()
    calls: list[tuple[str, tuple[object, ...]]] = [
        ("add_child_handler", (1, print)),
        ("remove_child_handler", (1,)),
        ("attach_loop", (None,)),
        ("close", ()),
        ("is_active", ()),
        ("__enter__", ()),
        ("__exit__", (None, None, None)),
    ]
    for method, args in calls:
        with pytest.raises(NotImplementedError):
            getattr(watcher, method)(*args)


@ferroloop_only("asyncio warns from 3.12 on", "S37.5, S38.16")
def test_classes_never_warn(name: str) -> None:
    """S37.5, S38.16, S56.4: neither when they are made, nor when they are inherited."""
    base = watcher_class("ferroloop", "AbstractChildWatcher")
    kind = watcher_class("ferroloop", name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind()
        type("Derived", (kind,), {})()
        type("Derived", (base,), {})
    assert issubclass(kind, base)


@before(3, 14)
@ferroloop_only("about ferroloop's class alone", "S37.5")
def test_base_is_asyncios_where_there_is_one(loop_kind: str) -> None:
    """S37.5."""
    base = watcher_class("ferroloop", "AbstractChildWatcher")
    assert base.__mro__ == (base, asyncio.AbstractChildWatcher, object)


@ferroloop_only("about ferroloop's classes alone", "S37.5, S56.3")
def test_nothing_is_inherited_from_asyncios_watchers(loop_kind: str, name: str) -> None:
    """S37.5: only the abstract contract, while asyncio has it."""
    contract = set() if sys.version_info >= (3, 14) else {asyncio.AbstractChildWatcher}
    theirs = {cls for cls in watcher_class("ferroloop", name).__mro__ if cls.__module__.startswith("asyncio")}
    assert theirs == contract


def test_entering_returns_the_watcher(watcher: Any) -> None:
    """S37.1, S38.15, S40.11, S41.3: `with` is no more than that to most."""
    with watcher as entered:
        assert entered is watcher


@pytest.mark.parametrize("ending", [0, 1, 7, 255, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGUSR1])
def test_reports_the_end(loop: Loop, watcher: Any, children: Children, reports: Reports, ending: int) -> None:
    """S37.2, S45.1: exit status, or minus the signal; with arguments, in the loop's thread, once."""
    child = children(ending, held=True)
    register(loop, watcher, child, reports, "a", 2)
    assert reports.calls == []
    child.release()
    until(loop, lambda: reports.calls != [])
    turn(loop, 3)
    assert reports.calls == [(child.pid, ending, "a", 2)]
    assert reports.threads == [threading.get_ident()]


def test_reports_who_is_dead_already(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S37.3, S38.8, S39.4, S40.4, S42.9: started inside `with`, ended before it is registered."""

    def start() -> None:
        with watcher:
            child = children(3)
            child.wait_until_dead()
            watcher.add_child_handler(child.pid, reports)

    in_loop(loop, start)
    until(loop, lambda: reports.calls != [])
    assert [call[1] for call in reports.calls] == [3]


def test_reports_each_its_own(
    loop: Loop, loop_kind: str, watcher: Any, name: str, children: Children, reports: Reports
) -> None:
    """S37.2, S40.8: many at once, in whatever order they end."""
    asyncio_cannot(loop_kind, name, "MultiLoopChildWatcher", "reports 255 if the signal interrupts its own handler")
    made = [children(code, held=True) for code in range(20)]
    for child in made:
        register(loop, watcher, child, reports)
    for child in reversed(made):
        child.release()
    until(loop, lambda: len(reports.calls) == len(made))
    assert sorted(reports.calls) == sorted((child.pid, child.ending) for child in made)


def test_a_stop_is_no_end(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S45.4, S41.8: neither is its continuation."""
    child = children(4, held=True)
    register(loop, watcher, child, reports)
    for number in (signal.SIGSTOP, signal.SIGCONT):
        os.kill(child.pid, number)
        loop.run_until_complete(asyncio.sleep(0.02))
        assert reports.calls == []
    child.release()
    until(loop, lambda: reports.calls != [])
    assert reports.calls == [(child.pid, 4)]


@pytest.mark.parametrize("name", CAREFUL)
def test_other_children_are_left_alone(
    loop: Loop, watcher: Any, children: Children, strays: Children, reports: Reports
) -> None:
    """S38.7, S40.5, S41.9, S42.1: all but Fast (S39.11) reap nothing that they were not told of."""
    child, other = children(1, held=True), strays(2, held=True)
    register(loop, watcher, child, reports)
    other.release()
    other.wait_until_dead()
    child.release()
    until(loop, lambda: reports.calls != [])
    assert reports.calls == [(child.pid, 1)]
    assert other.reap() == 2


@pytest.mark.parametrize("name", CAREFUL)
def test_somebody_else_reaped_it(
    loop: Loop, loop_kind: str, watcher: Any, name: str, children: Children, reports: Reports, logged: LogList
) -> None:
    """S45.2, S38.11, S40.7, S41.4, S42.2: 255, a warning, and the callback all the same; Fast cannot know (S39.12)."""
    asyncio_cannot(loop_kind, name, "ThreadedChildWatcher", "may be the first to reap, until 3.14")
    child = children(7, held=True)
    register(loop, watcher, child, reports)
    assert child.reap() == 7
    until(loop, lambda: reports.calls != [])
    assert reports.calls == [(child.pid, 255)]
    text = f"Unknown child process pid {child.pid}, will report returncode 255"
    if name == "PidfdChildWatcher":
        text = f"child process pid {child.pid} exit status already read:  will report returncode 255"
    assert text in logged.texts()


def test_a_callback_may_start_the_next(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S37.2."""
    endings = [1, 2, 3]

    def start() -> None:
        with watcher:
            watcher.add_child_handler(children(endings.pop(0), held=True).pid, ended)

    def ended(pid: int, code: int) -> None:
        reports(pid, code)
        if endings:
            start()
            children.release()

    in_loop(loop, start)
    children.release()
    until(loop, lambda: len(reports.calls) == 3)
    assert [code for _, code in reports.calls] == [1, 2, 3]


@pytest.mark.parametrize("name", BY_SIGCHLD)
def test_removed_handlers_are_not_called(loop: Loop, watcher: Any, strays: Children, reports: Reports) -> None:
    """S38.14, S39.10, S40.11: True if there was one."""
    child = strays(held=True)
    assert watcher.remove_child_handler(child.pid) is False
    register(loop, watcher, child, reports)
    assert watcher.remove_child_handler(child.pid) is True
    assert watcher.remove_child_handler(child.pid) is False


@pytest.mark.parametrize("name", BY_SIGCHLD)
def test_a_second_registration_replaces(loop: Loop, watcher: Any, children: Children, reports: Reports) -> None:
    """S37.2."""
    child = children(5, held=True)
    register(loop, watcher, child, reports, "first")
    register(loop, watcher, child, reports, "second")
    child.release()
    until(loop, lambda: reports.calls != [])
    turn(loop, 2)
    assert reports.calls == [(child.pid, 5, "second")]


@pytest.mark.parametrize("name", BY_SIGCHLD)
def test_close_with_children_running(loop: Loop, watcher: Any, strays: Children, reports: Reports) -> None:
    """S38.5, S39.10, S40.10: it neither waits nor warns, and the children are nobody's then."""
    child = strays(6, held=True)
    register(loop, watcher, child, reports)
    watcher.close()
    child.release()
    child.wait_until_dead()
    turn(loop, 2)
    assert reports.calls == []
    assert child.reap() == 6
    watcher.close()


@pytest.mark.parametrize("name", FOR_ALL_LOOPS)
def test_loops_in_two_threads(loop_kind: str, new_loop: NewLoop, name: str, children: Children) -> None:
    """S37.6, S40.5, S32.10: the callbacks come in the loop's thread."""
    asyncio_cannot(loop_kind, name, "MultiLoopChildWatcher", "reports 255 if a thread registers meanwhile")
    if sys.version_info < (3, 12):
        asyncio_cannot(loop_kind, name, "PidfdChildWatcher", "works for one loop (S42.5)")
    main, watcher = new_loop(), make_watcher(loop_kind, name)
    seen: list[tuple[int, bool]] = []

    async def start(count: int) -> None:
        loop = asyncio.get_running_loop()
        thread, ended = threading.get_ident(), asyncio.Event()
        left = count

        def end(_pid: int, code: int) -> None:
            nonlocal left
            seen.append((code, threading.get_ident() == thread))
            left -= 1
            if not left:
                loop.call_soon_threadsafe(ended.set)

        for code in range(count):
            with watcher:
                watcher.add_child_handler(children(code).pid, end)
        await asyncio.wait_for(ended.wait(), 10)

    def in_thread() -> None:
        loop = new_loop()
        loop.run_until_complete(start(10))
        loop.close()

    with attached(main, watcher):
        threads = [threading.Thread(target=in_thread) for _ in range(2)]
        for thread in threads:
            thread.start()
        main.run_until_complete(start(10))
        until(main, lambda: not any(thread.is_alive() for thread in threads))
    assert sorted(seen) == sorted([(code, True) for code in range(10)] * 3)


@pytest.mark.parametrize("name", FOR_ALL_LOOPS)
@pytest.mark.parametrize("many", [1, 30])
def test_a_loop_that_is_closed_first(
    loop_kind: str, new_loop: NewLoop, name: str, many: int, strays: Children, logged: LogList
) -> None:
    """S40.6, S41.5, S42.8: nobody is told, nothing is raised, no descriptor stays."""
    asyncio_cannot(loop_kind, name, "PidfdChildWatcher", "leaves its descriptors open")
    loop, watcher = new_loop(), make_watcher(loop_kind, name)
    made = [strays(1, held=True) for _ in range(many)]
    with attached(loop, watcher):
        for child in made:
            register(loop, watcher, child, pytest.fail)
        loop.close()
        for child in made:
            child.release()
        if name == "PidfdChildWatcher":
            return
        until(new_loop(), lambda: len(closed_loop_lines(logged)) == many)
    expected = [f"Loop {loop!r} that handles pid {child.pid} is closed" for child in made]
    assert sorted(closed_loop_lines(logged)) == sorted(expected)
    assert all(child.is_reaped() for child in made)


def closed_loop_lines(logged: LogList) -> list[str]:
    """What was said of loops that are closed."""
    return [text for text in logged.texts(logging.WARNING) if text.startswith("Loop ")]


FORK = """
import asyncio, ferroloop, os, signal
signal.alarm(20)
loop, watcher = new_event_loop(), ferroloop.{name}()
watcher.attach_loop(loop)
ended = loop.create_future()
reader, writer = os.pipe()
actions = [(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_CLOSE, writer)]
child = os.posix_spawn("/bin/sh", ["sh", "-c", "read _; exit 7"], dict(), file_actions=actions)

async def register():
    with watcher:
        watcher.add_child_handler(child, lambda pid, code: loop.call_soon_threadsafe(ended.set_result, code))

async def of_its_own():
    process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 3")
    os._exit(await process.wait())

loop.run_until_complete(register())
fork = os.fork()
if not fork:
    watcher.close()
    loop.close()
    new_event_loop().run_until_complete(of_its_own())
assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 3
os.close(writer)
print(loop.run_until_complete(ended))
watcher.close()
loop.close()
"""


@ferroloop_only("asyncio deregisters its fds from the epoll it shares with the parent", "S6.9")
def test_a_fork_between(run_script: Callable[..., Script], name: str) -> None:
    """S37.2, S6.9: what a forked copy of the process does to its loop and its watcher ends no watch here."""
    assert run_script(FORK.format(name=name)).out == "7\n"
