"""S43, S44: which watcher a loop uses; the policy's place for one, and ferroloop's own."""

import asyncio
import importlib
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import loops
from support.children import Children, Reports, make_watcher, register, watchers_of_both
from support.gates import before, ferroloop_only
from support.loops import Loop, NewLoop
from support.scripts import Script
from support.turns import until

pytestmark = [
    pytest.mark.usefixtures("dispositions"),
    pytest.mark.filterwarnings("ignore:.*olic.*deprecated:DeprecationWarning"),
]
of_ferroloop = ferroloop_only("a function of ferroloop", "S43, S44")


class Recorder:
    """What a watcher was told, in place of a watcher."""

    def __init__(self, kind: str) -> None:
        self.calls: list[tuple[object, ...]] = []
        base = importlib.import_module("ferroloop" if kind == loops.SUBJECT else "asyncio").AbstractChildWatcher

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)

            class Watcher(base):
                def attach_loop(watcher, loop: Any) -> None:
                    self.calls.append(("attach", loop))

                def close(watcher) -> None:
                    self.calls.append(("close",))

        self.watcher = Watcher()


@pytest.fixture
def policy(loop_kind: str) -> Iterator[Any]:
    """This half's policy, installed for the test."""
    package = asyncio if loop_kind == loops.ORACLE else importlib.import_module("ferroloop")
    made = package.DefaultEventLoopPolicy()
    asyncio.set_event_loop_policy(made)
    yield made
    asyncio.set_event_loop_policy(None)


@pytest.fixture
def package() -> Iterator[Any]:
    """ferroloop, without a watcher set afterwards."""
    package = importlib.import_module("ferroloop")
    yield package
    package.set_child_watcher(None)


def quietly(call: Callable[..., Any], *args: Any) -> Any:
    """Call without asyncio's complaints about its own watchers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return call(*args)


def own_watcher(loop: Any) -> Any:
    """The watcher the loop uses for its processes."""
    return loop._child_watcher()


@of_ferroloop
def test_can_use_pidfd(run_script: Callable[..., Script], package: Any) -> None:
    """S43.1: tried out, so that whatever forbids it counts."""
    assert package.can_use_pidfd() is hasattr(subprocess.os, "pidfd_open")
    script = run_script(
        """
        import os, resource
        import ferroloop
        before = len(os.listdir("/dev/fd"))
        ferroloop.can_use_pidfd()
        assert len(os.listdir("/dev/fd")) == before
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        print(ferroloop.can_use_pidfd())
        """
    )
    assert script.out == "False\n"


@of_ferroloop
def test_default(loop: Loop, package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """S43.2: on every Python the rule of the newest."""
    assert package.can_use_pidfd() is True, "on the systems these tests are run on"
    assert type(own_watcher(loop)) is package.PidfdChildWatcher
    monkeypatch.setattr(importlib.import_module("ferroloop._watchers.slot"), "can_use_pidfd", lambda: False)
    other = package.new_event_loop()
    assert type(own_watcher(other)) is package.ThreadedChildWatcher
    assert type(package.get_child_watcher()) is package.ThreadedChildWatcher
    other.close()


@of_ferroloop
def test_each_loop_has_its_own(new_loop: NewLoop) -> None:
    """S43.3."""
    first, second = new_loop(), new_loop()
    assert own_watcher(first) is own_watcher(first)
    assert own_watcher(first) is not own_watcher(second)


@of_ferroloop
def test_an_explicit_one_wins(new_loop: NewLoop, package: Any) -> None:
    """S43.3, S44.6: for every loop, until it is taken away."""
    first, second = new_loop(), new_loop()
    own = own_watcher(first)
    watcher = package.ThreadedChildWatcher()
    package.set_child_watcher(watcher)
    assert package.get_child_watcher() is watcher
    assert own_watcher(first) is own_watcher(second) is watcher
    package.set_child_watcher(None)
    assert own_watcher(first) is own


@of_ferroloop
def test_policy_and_functions_share_one_place(policy: Any, loop: Loop, package: Any) -> None:
    """S43.3, S44.5: under ferroloop's policy."""
    watcher = package.ThreadedChildWatcher()
    package.set_child_watcher(watcher)
    assert policy.get_child_watcher() is watcher
    assert own_watcher(loop) is watcher
    policy.set_child_watcher(None)
    assert own_watcher(loop) is not watcher
    assert package.get_child_watcher() is policy.get_child_watcher()


@watchers_of_both
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_made_at_the_first_request(policy: Any, loop_kind: str, children: Children, reports: Reports) -> None:
    """S44.5: once per policy; it works in any loop, so it need not be attached."""
    made: list[Any] = []
    barrier = threading.Barrier(5)

    def ask() -> None:
        barrier.wait()
        made.append(policy.get_child_watcher())

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(watcher) for watcher in made}) == 1
    loop = policy.new_event_loop()
    policy.set_event_loop(loop)
    child = children(3, held=True)
    register(loop, made[0], child, reports)
    child.release()
    until(loop, lambda: reports.calls != [])
    assert reports.calls == [(child.pid, 3)]
    policy.set_event_loop(None)
    loop.close()
    other = type(policy)()
    assert other.get_child_watcher() is not made[0]


@watchers_of_both
def test_setting_closes_the_old_and_attaches_nothing(policy: Any, loop_kind: str) -> None:
    """S44.6."""
    first, second = Recorder(loop_kind), Recorder(loop_kind)
    quietly(policy.set_child_watcher, first.watcher)
    assert quietly(policy.get_child_watcher) is first.watcher
    assert first.calls == []
    quietly(policy.set_child_watcher, second.watcher)
    assert first.calls == [("close",)]
    assert second.calls == []
    quietly(policy.set_child_watcher, None)
    assert second.calls == [("close",)]


@watchers_of_both
@pytest.mark.parametrize("wrong", [1, "watcher", object()])
def test_only_watchers_can_be_set(policy: Any, wrong: Any) -> None:
    """S44.6: and the one there is stays."""
    watcher = quietly(policy.get_child_watcher)
    with pytest.raises(AssertionError):
        quietly(policy.set_child_watcher, wrong)
    assert quietly(policy.get_child_watcher) is watcher


@watchers_of_both
def test_setting_a_loop_attaches_the_watcher(policy: Any, loop_kind: str) -> None:
    """S44.4: in the main thread only."""
    recorder = Recorder(loop_kind)
    quietly(policy.set_child_watcher, recorder.watcher)
    loop = policy.new_event_loop()
    thread = threading.Thread(target=lambda: policy.set_event_loop(loop))
    thread.start()
    thread.join()
    assert recorder.calls == []
    policy.set_event_loop(loop)
    policy.set_event_loop(None)
    assert recorder.calls == [("attach", loop), ("attach", None)]
    loop.close()


@watchers_of_both
@pytest.mark.parametrize("name", ["SafeChildWatcher", "FastChildWatcher", "MultiLoopChildWatcher"])
def test_a_watcher_follows_the_policys_loop(
    policy: Any, loop_kind: str, name: str, children: Children, reports: Reports
) -> None:
    """S44.4, S38.2: under asyncio.run, which sets its loop, without a word from anybody."""
    watcher = make_watcher(loop_kind, name)
    quietly(policy.set_child_watcher, watcher)

    async def main() -> None:
        assert watcher.is_active()
        child = children(4, held=True)
        with watcher:
            watcher.add_child_handler(child.pid, reports)
        child.release()
        while not reports.calls:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(main(), 10))
    assert [code for _, code in reports.calls] == [4]
    quietly(policy.set_child_watcher, None)


@of_ferroloop
def test_own_accessors_never_warn(policy: Any, package: Any) -> None:
    """S44.7, S56.4."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        package.set_child_watcher(package.SafeChildWatcher())
        package.get_child_watcher()
        package.set_child_watcher(None)
        policy.set_child_watcher(package.SafeChildWatcher())
        policy.get_child_watcher()
        policy.set_child_watcher(None)


@before(3, 14)
@of_ferroloop
@pytest.mark.parametrize("kind", ["asyncio", "ferroloop"])
def test_a_watcher_set_through_asyncio(loop: Loop, kind: str) -> None:
    """S44.9: asyncio's own or ours, also under asyncio's policy."""
    watcher = make_watcher(kind, "SafeChildWatcher")
    quietly(asyncio.set_child_watcher, watcher)
    try:
        assert own_watcher(loop) is watcher
    finally:
        quietly(asyncio.set_child_watcher, None)
    assert own_watcher(loop) is not watcher


@before(3, 14)
@of_ferroloop
def test_asyncios_watchers_in_our_policy(policy: Any, loop: Loop, children: Children, reports: Reports) -> None:
    """S44.6, S44.9: accepted, and they work in our loops."""
    for name in ("PidfdChildWatcher", "ThreadedChildWatcher", "SafeChildWatcher"):
        watcher = make_watcher("asyncio", name)
        policy.set_child_watcher(watcher)
        assert own_watcher(loop) is watcher
        watcher.attach_loop(loop)
        reports.calls.clear()
        child = children(5, held=True)
        register(loop, watcher, child, reports)
        child.release()
        until(loop, lambda: reports.calls != [])
        assert reports.calls == [(child.pid, 5)], name
        policy.set_child_watcher(None)


@of_ferroloop
def test_asking_makes_no_policy_and_no_warning(run_script: Callable[..., Script]) -> None:
    """S43.3, S50.4, S56.4."""
    script = run_script(
        """
        import asyncio, ferroloop
        loop = new_event_loop()
        loop._child_watcher()
        ferroloop.get_child_watcher()
        ferroloop.set_child_watcher(None)
        print(asyncio.events._event_loop_policy)
        loop.close()
        """,
        "-Werror",
    )
    assert script.out == "None\n"


def test_names(loop: Loop) -> None:
    """S1.4, S0.5: exported on every Python; asyncio has them until 3.14."""
    names = {"AbstractChildWatcher", "SafeChildWatcher", "FastChildWatcher", "MultiLoopChildWatcher"}
    names |= {"ThreadedChildWatcher", "PidfdChildWatcher", "get_child_watcher", "set_child_watcher"}
    package = importlib.import_module("ferroloop")
    assert names | {"can_use_pidfd"} <= set(package.__all__)
    assert all(hasattr(package, name) for name in names)
    assert all(hasattr(asyncio, name) for name in names) is (sys.version_info < (3, 14))
