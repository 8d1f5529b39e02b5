"""S2: running, stopping and closing a loop, and every misuse of it."""

import asyncio
import gc
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from support.fds import open_fds
from support.gates import ferroloop_only, since
from support.log import LogList
from support.loops import Loop, NewLoop
from support.unclosed import unclosed


def ignore(*args: object) -> None:
    """A callback."""


def test_repr_tells_state(new_loop: NewLoop) -> None:
    """S2.1."""
    loop = new_loop()
    name = type(loop).__name__
    assert repr(loop) == f"<{name} running=False closed=False debug=False>"
    loop.set_debug(True)
    loop.call_soon(lambda: seen.append(repr(loop)))
    loop.call_soon(loop.stop)
    seen: list[str] = []
    loop.run_forever()
    loop.close()
    assert seen == [f"<{name} running=True closed=False debug=True>"]
    assert repr(loop) == f"<{name} running=False closed=True debug=True>"


def test_time_is_the_monotonic_clock(loop: Loop) -> None:
    """S2.2."""
    before, now, after = time.monotonic(), loop.time(), time.monotonic()
    assert isinstance(now, float)
    assert before <= now <= after


RUNS: dict[str, Callable[[Loop], object]] = {
    "run_forever": lambda loop: loop.run_forever(),
    "run_until_complete": lambda loop: loop.run_until_complete(loop_future(loop)),
}


def loop_future(loop: Loop) -> asyncio.Future[None]:
    """A pending future of the loop."""
    return asyncio.Future(loop=loop)


@pytest.mark.parametrize("name", RUNS)
def test_running_a_closed_loop(loop: Loop, name: str) -> None:
    """S2.3."""
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        RUNS[name](loop)


def refused(loop: Loop, victim: Loop, name: str) -> tuple[str, Loop]:
    """Text of the refusal to run `victim` inside `loop`, and the loop running afterwards."""

    async def main() -> tuple[str, Loop]:
        with pytest.raises(RuntimeError) as caught:
            RUNS[name](victim)
        return str(caught.value), asyncio.get_running_loop()

    return loop.run_until_complete(main())


@pytest.mark.parametrize("name", RUNS)
@ferroloop_only("3.13.0 cleans up after a refused run", "S2.4", sys.version_info[:3] == (3, 13, 0))
def test_running_a_running_loop(loop: Loop, name: str) -> None:
    """S2.3, S2.4: the check fails and the running loop stays the running one."""
    assert refused(loop, loop, name) == ("This event loop is already running", loop)


@pytest.mark.parametrize("name", RUNS)
@ferroloop_only("3.13.0 cleans up after a refused run", "S2.4", sys.version_info[:3] == (3, 13, 0))
def test_running_a_loop_inside_another(new_loop: NewLoop, name: str) -> None:
    """S2.3, S2.4."""
    outer, inner = new_loop(), new_loop()
    text, running = refused(outer, inner, name)
    assert text == "Cannot run the event loop while another loop is running"
    assert running is outer
    assert inner.run_until_complete(asyncio.sleep(0, "usable")) == "usable"


@ferroloop_only("3.13.0 cleans up after a refused run", "S2.4", sys.version_info[:3] == (3, 13, 0))
def test_closed_is_checked_first(new_loop: NewLoop) -> None:
    """S2.3: a closed loop inside a running one is reported as closed."""
    outer, inner = new_loop(), new_loop()
    inner.close()
    assert refused(outer, inner, "run_forever")[0] == "Event loop is closed"


@ferroloop_only("3.13.0 cleans up after a refused run", "S2.4", sys.version_info[:3] == (3, 13, 0))
def test_refused_run_keeps_hooks(loop: Loop) -> None:
    """S2.4."""

    async def main() -> tuple[Any, Any]:
        before = sys.get_asyncgen_hooks()
        with pytest.raises(RuntimeError):
            loop.run_forever()
        return before, sys.get_asyncgen_hooks()

    before, after = loop.run_until_complete(main())
    assert before == after


@ferroloop_only("the run seems to go on", "S2.4", sys.version_info >= (3, 12))
def test_interrupted_start_is_undone(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """S2.4: Ctrl-C comes at any moment."""
    before = sys.get_asyncgen_hooks()
    answers = iter([KeyboardInterrupt])
    set_hooks = sys.set_asyncgen_hooks

    def interrupted(*hooks: Any, **named: Any) -> None:
        for interrupt in answers:
            raise interrupt
        set_hooks(*hooks, **named)

    monkeypatch.setattr(sys, "set_asyncgen_hooks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert not loop.is_running()
    assert sys.get_asyncgen_hooks() == before
    assert loop.run_until_complete(asyncio.sleep(0, "alive")) == "alive"


def test_running_loop_is_per_thread(loop: Loop) -> None:
    """S2.5."""
    seen = []

    def in_thread() -> None:
        seen.append(asyncio._get_running_loop())

    async def main() -> None:
        assert loop.is_running()
        assert asyncio.get_running_loop() is loop
        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()

    loop.run_until_complete(main())
    assert seen == [None]
    assert not loop.is_running()


class Boom(Exception):
    """Raised by tests."""


def leave_by_return(loop: Loop) -> None:
    """The future completes."""
    loop.run_until_complete(asyncio.sleep(0))


def leave_by_stop(loop: Loop) -> None:
    """stop() ends the run."""
    loop.call_soon(loop.stop)
    loop.run_forever()


def leave_by_exit(loop: Loop) -> None:
    """An exit request ends the run."""

    def leave() -> None:
        loop.stop()
        raise SystemExit

    loop.call_soon(leave)
    with pytest.raises(SystemExit):
        loop.run_forever()


@pytest.mark.parametrize("leave", [leave_by_return, leave_by_stop, leave_by_exit])
def test_every_way_out_restores_the_thread(loop: Loop, leave: Callable[[Loop], None]) -> None:
    """S2.6."""
    mine = (ignore, ignore)
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(*mine)
    loop.set_debug(True)
    try:
        leave(loop)
        assert tuple(sys.get_asyncgen_hooks()) == mine
    finally:
        sys.set_asyncgen_hooks(*before)
    assert sys.get_coroutine_origin_tracking_depth() == 0
    assert asyncio._get_running_loop() is None
    assert not loop.is_running()
    steps: list[int] = []
    loop.call_soon(lambda: loop.call_soon(steps.append, 1))
    loop.run_until_complete(asyncio.sleep(0.001))
    assert steps == [1], "no stop request is left over"


def test_run_forever_returns_none(loop: Loop) -> None:
    """S2.7: iterations go on until a stop is seen at the end of one."""
    seen: list[int] = []

    def again(n: int) -> None:
        seen.append(n)
        if n == 3:
            loop.stop()
        loop.call_soon(again, n + 1)

    loop.call_soon(again, 1)
    assert loop.run_forever() is None
    assert seen == [1, 2, 3]


def test_stop_lets_the_snapshot_finish(loop: Loop) -> None:
    """S2.8."""
    seen: list[str] = []
    loop.call_soon(loop.stop)
    loop.call_soon(seen.append, "same iteration")
    loop.call_soon(lambda: loop.call_soon(seen.append, "next iteration"))
    loop.run_forever()
    assert seen == ["same iteration"]


def test_stop_before_run_makes_one_iteration(loop: Loop) -> None:
    """S2.9, S2.10."""
    seen: list[str] = []
    loop.call_later(3600, ignore)
    loop.call_soon(seen.append, "ready")
    loop.call_soon(lambda: loop.call_soon(seen.append, "added"))
    loop.stop()
    started = time.monotonic()
    loop.run_forever()
    assert seen == ["ready"]
    loop.stop()
    loop.run_forever()
    assert seen == ["ready", "added"]
    assert time.monotonic() - started < 5, "polled with timeout 0"


def test_handles_survive_between_runs_in_order(loop: Loop) -> None:
    """S2.10."""
    seen: list[int] = []

    def first() -> None:
        loop.stop()
        for n in range(5):
            loop.call_soon(seen.append, n)

    loop.call_soon(first)
    loop.run_forever()
    loop.call_soon(seen.append, 5)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [0, 1, 2, 3, 4, 5]


def test_stop_is_no_wakeup(loop: Loop) -> None:
    """S2.11: from another thread it waits for the poll to end by itself."""
    poll_end = 0.3
    loop.call_later(poll_end, ignore)
    thread = threading.Timer(0.02, loop.stop)
    started = time.monotonic()
    thread.start()
    loop.run_forever()
    thread.join()
    assert time.monotonic() - started >= poll_end * 0.9


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_exit_request_keeps_the_queue(loop: Loop, kind: type[BaseException]) -> None:
    """S2.20, S0.11."""

    def leave() -> None:
        raise kind

    seen: list[str] = []
    loop.call_soon(seen.append, "before")
    loop.call_soon(leave)
    loop.call_soon(seen.append, "first after")
    loop.call_soon(seen.append, "second after")
    with pytest.raises(kind):
        loop.run_forever()
    assert seen == ["before"]
    loop.call_soon(seen.append, "newest")
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == ["before", "first after", "second after", "newest"]


def test_close_while_running(loop: Loop) -> None:
    """S2.21."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"^Cannot close a running event loop$"):
            loop.close()

    loop.run_until_complete(main())
    assert not loop.is_closed()


def test_close_twice(loop: Loop) -> None:
    """S2.21."""
    loop.close()
    loop.close()
    assert loop.is_closed()


def test_close_drops_work_unrun(new_loop: NewLoop, logged: LogList) -> None:
    """S2.22."""
    before = open_fds()
    loop = new_loop()
    seen: list[str] = []
    loop.set_debug(True)
    loop.call_soon(seen.append, "ready")
    loop.call_later(0, seen.append, "timer")
    text = f"Close {loop!r}"
    loop.close()
    assert seen == []
    assert text in logged.texts(logging.DEBUG)
    assert open_fds() == before


CLOSED: dict[str, Callable[[Loop], object]] = {
    "call_soon": lambda loop: loop.call_soon(ignore),
    "call_later": lambda loop: loop.call_later(1, ignore),
    "call_at": lambda loop: loop.call_at(1, ignore),
    "call_soon_threadsafe": lambda loop: loop.call_soon_threadsafe(ignore),
    "run_in_executor": lambda loop: loop.run_in_executor(None, ignore),
    "add_reader": lambda loop: loop.add_reader(0, ignore),
    "add_writer": lambda loop: loop.add_writer(0, ignore),
    "add_signal_handler": lambda loop: loop.add_signal_handler(10, ignore),
    "run_forever": lambda loop: loop.run_forever(),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_loop_refuses(loop: Loop, name: str) -> None:
    """S2.23, S7.9."""
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        CLOSED[name](loop)


def test_create_task_on_closed_loop_leaves_the_coroutine(loop: Loop) -> None:
    """S2.23, S2.24."""
    loop.close()
    coro: Any = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.create_task(coro)
    assert coro.cr_frame is not None, "neither started nor closed"
    coro.close()


def test_what_a_closed_loop_still_does(loop: Loop) -> None:
    """S2.23, S7.9."""
    loop.close()
    assert loop.remove_reader(0) is False
    assert loop.remove_writer(0) is False
    loop.stop()
    assert loop.time() > 0
    assert loop.get_debug() is False
    assert loop.is_running() is False
    assert "closed=True" in repr(loop)


@ferroloop_only("asyncio's is a cycle with its sockets, and the collector may close those first", "S2.25")
def test_unclosed_loop_warns_and_closes(loop_class: type) -> None:
    """S2.25, S2.26, S0.9."""
    before = open_fds()
    loop = loop_class()
    assert open_fds() != before
    with unclosed(f"unclosed event loop {loop!r}"):
        del loop
    assert open_fds() == before


def test_closed_loop_dies_in_silence(loop_class: type) -> None:
    """S2.25."""
    loop = loop_class()
    loop.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del loop
        gc.collect()
    assert caught == []


@since(3, 13)
def test_embedding_hooks(loop_class: type) -> None:
    """S2.27: run_forever is setup, iterations, cleanup."""
    steps: list[str] = []

    class Embedded(loop_class):
        def _run_forever_setup(self) -> None:
            steps.append("setup")
            super()._run_forever_setup()

        def _run_forever_cleanup(self) -> None:
            super()._run_forever_cleanup()
            steps.append("cleanup")

    loop = Embedded()
    loop.call_soon(steps.append, "callback")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert steps == ["setup", "callback", "cleanup"]


@since(3, 13)
def test_embedding_hooks_make_a_run(loop: Loop) -> None:
    """S2.27: between the hooks the loop counts as running."""
    loop._run_forever_setup()
    try:
        assert loop.is_running()
        assert asyncio.get_running_loop() is loop
    finally:
        loop._run_forever_cleanup()
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None
