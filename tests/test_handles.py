"""S3: handles and timer handles."""

import asyncio
import contextvars
import gc
import re
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import ferroloop_only, since
from support.loops import Loop
from support.scripts import Script
from support.turns import turn

number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)


def call(*args: object) -> None:
    """A callback."""


class Payload:
    """Something a handle may keep alive."""

    def method(self) -> None:
        """A callback."""


def test_cancel_is_idempotent_and_skips(loop: Loop) -> None:
    """S3.1."""
    seen: list[int] = []
    handles = [loop.call_soon(seen.append, n) for n in range(3)]
    handles[1].cancel()
    handles[1].cancel()
    turn(loop)
    assert seen == [0, 2]
    assert [handle.cancelled() for handle in handles] == [False, True, False]


def test_cancel_releases_at_once(loop: Loop) -> None:
    """S3.1: callback and arguments go, even while the handle is queued and referenced."""
    payloads = [Payload() for _ in range(4)]
    dead = [weakref.ref(payload) for payload in payloads]
    handles = [
        loop.call_soon(payloads[0].method),
        loop.call_soon(call, payloads[1]),
        loop.call_later(3600, call, payloads[2]),
        loop.call_later(3600, call, 1, 2, 3, 4, payloads[3]),
    ]
    payloads.clear()
    for handle in handles:
        handle.cancel()
    assert [ref() for ref in dead] == [None] * 4


def test_cancel_after_run(loop: Loop) -> None:
    """S3.2."""
    seen: list[int] = []
    handles = [loop.call_soon(seen.append, 1), loop.call_later(0, seen.append, 2)]
    turn(loop)
    assert [handle.cancelled() for handle in handles] == [False, False]
    for handle in handles:
        handle.cancel()
    assert [handle.cancelled() for handle in handles] == [True, True]
    turn(loop)
    assert seen == [1, 2]


def test_cancel_from_own_callback(loop: Loop) -> None:
    """S3.2: a running handle may cancel itself."""
    handle: Any = loop.call_soon(lambda: handle.cancel())
    turn(loop)
    assert handle.cancelled()


@pytest.mark.parametrize("debug", [False, True])
def test_cancel_and_fail(loop: Loop, errors: list[dict[str, Any]], debug: bool) -> None:
    """S3.2: a cancelled handle gets nothing back, not even for the report."""

    class Failing:
        def __call__(self) -> None:
            handle.cancel()
            raise ValueError

    loop.set_debug(debug)
    callback = Failing()
    alive = weakref.ref(callback)
    handle = loop.call_soon(callback)
    del callback
    turn(loop)
    assert errors.pop()["message"] == "Exception in callback None()"
    gc.collect()
    assert alive() is None
    assert handle._callback is handle._args is None


def test_cancel_by_itself_in_a_bare_step(loop: Any) -> None:
    """S3.11: a thread does not wait for itself, even if it does not count as running the loop."""
    seen: list[bool] = []
    handle = loop.call_soon_threadsafe(lambda: seen.append(handle.cancel()))
    loop._run_once()
    assert seen == [None]


SCHEDULERS = {
    "call_soon": lambda loop, f, **kw: loop.call_soon(f, **kw),
    "call_later": lambda loop, f, **kw: loop.call_later(0, f, **kw),
    "call_at": lambda loop, f, **kw: loop.call_at(loop.time(), f, **kw),
    "call_soon_threadsafe": lambda loop, f, **kw: loop.call_soon_threadsafe(f, **kw),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_context_is_copied_at_the_call(loop: Loop, name: str) -> None:
    """S3.3: the callback sees the value of then and cannot change the caller's."""
    seen: list[int] = []

    def callback() -> None:
        seen.append(number.get())
        number.set(-1)

    def schedule() -> None:
        number.set(1)
        SCHEDULERS[name](loop, callback)
        number.set(2)
        turn(loop)
        seen.append(number.get())

    contextvars.copy_context().run(schedule)
    assert seen == [1, 2]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_given_context_is_used_itself(loop: Loop, name: str) -> None:
    """S3.3, S3.9."""
    context = contextvars.copy_context()
    context.run(number.set, 7)
    seen: list[int] = []

    def callback() -> None:
        seen.append(number.get())
        number.set(8)

    SCHEDULERS[name](loop, callback, context=context)
    turn(loop)
    assert seen == [7]
    assert context[number] == 8


@since(3, 12)
def test_get_context(loop: Loop) -> None:
    """S3.3."""
    context = contextvars.copy_context()
    assert loop.call_soon(call, context=context).get_context() is context
    assert loop.call_later(9, call, context=context).get_context() is context
    assert isinstance(loop.call_soon(call).get_context(), contextvars.Context)


def test_when(loop: Loop) -> None:
    """S3: timers add when()."""
    at = loop.time() + 3600
    assert loop.call_at(at, call).when() == at
    early = loop.time()
    when = loop.call_later(60, call).when()
    assert early + 60 <= when <= loop.time() + 60


def test_when_stays_an_int(loop: Loop) -> None:
    """S3.8: what call_at was given is what when() tells, also to programs that round their deadlines."""
    at = int(loop.time()) + 3600
    timer = loop.call_at(at, call)
    assert type(timer.when()) is int
    assert timer.when() == at
    assert hash(timer) == hash(at)
    assert f"when={at}" in repr(timer)
    assert loop.call_at(at, call) == timer
    assert loop.call_at(float(at), call) == timer


def test_timers_compare_by_deadline(loop: Loop) -> None:
    """S3.8."""
    early, late = loop.call_at(1e9, call), loop.call_at(2e9, call)
    assert early < late
    assert early <= late
    assert late > early
    assert late >= early
    assert not late < early
    assert early != late
    assert hash(early) == hash(1e9)


def test_timers_are_equal_in_all_or_not(loop: Loop) -> None:
    """S3.8: when, callback, arguments and cancelled state."""
    same = [loop.call_at(1e9, call, 1) for _ in range(3)]
    other = loop.call_at(1e9, call, 2)
    assert same[0] == same[1]
    assert same[0] <= same[1]
    assert same[0] >= same[1]
    assert same[0] != other
    assert not same[0] < other
    assert not same[0] <= other
    same[2].cancel()
    assert same[0] != same[2]


class Incomparable:
    """A callback that must not be asked whether it equals another."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("asked")

    def __hash__(self) -> int:
        return 0

    def __call__(self) -> None:
        """A callback."""


def test_timers_of_different_deadlines_are_compared_by_these_alone(loop: Loop) -> None:
    """S3.8."""
    early, late, again = (loop.call_at(when, Incomparable()) for when in (1.0, 2.0, 2.0))
    assert early != late
    assert early < late
    assert early <= late
    assert late > early
    assert late >= early
    assert not late < again
    with pytest.raises(AssertionError, match="asked"):
        assert late == again


@pytest.mark.parametrize("name", ["__lt__", "__le__", "__gt__", "__ge__", "__eq__"])
def test_timers_compare_with_timers_only(loop: Loop, name: str) -> None:
    """S3.8."""
    timer = loop.call_at(1e9, call)
    assert getattr(timer, name)(1e9) is NotImplemented


def test_classes(loop: Loop) -> None:
    """S1.12."""
    handle, timer = loop.call_soon(call), loop.call_later(9, call)
    assert isinstance(handle, asyncio.Handle)
    assert not isinstance(handle, asyncio.TimerHandle)
    assert isinstance(timer, asyncio.Handle)
    assert isinstance(timer, asyncio.TimerHandle)
    assert isinstance(loop.call_later(0, call), asyncio.TimerHandle)


def test_weak_references(loop: Loop) -> None:
    """S3.9: a run handle nobody holds is gone, no collector needed."""
    gc.disable()
    try:
        dead = [weakref.ref(loop.call_soon(call)), weakref.ref(loop.call_later(0, call))]
        assert all(ref() is not None for ref in dead)
        turn(loop, 2)
        assert [ref() for ref in dead] == [None, None]
    finally:
        gc.enable()


def test_new_handles_know_nothing_of_ended_ones(loop: Loop) -> None:
    """S3.1, S3.9: whose memory they may have, a burst of them too."""
    for count in (10, 20_000, 20_000, 10):
        called: list[int] = []
        now = [loop.call_soon(called.append, index) for index in range(count)]
        later = [loop.call_at(-index, called.append, -index) for index in range(count)]
        assert not any(handle.cancelled() for handle in now + later)
        assert [timer.when() for timer in later] == [-index for index in range(count)]
        references = [weakref.ref(handle) for handle in now + later]
        for handle in now[::3] + later[::3]:
            handle.cancel()
        turn(loop, 3)
        expected = [index for index in range(count) if index % 3]
        assert called == expected + [-index for index in reversed(expected)]
        del now, later, handle
        assert not any(reference() for reference in references)


@ferroloop_only("asyncio's handles keep the call after they ran", "S3.9")
def test_run_releases_the_call(loop: Loop) -> None:
    """S3.9: as cancelling does."""
    payload = Payload()
    dead = weakref.ref(payload)
    handles = [loop.call_soon(call, payload), loop.call_later(0, payload.method)]
    del payload
    turn(loop, 2)
    assert dead() is None
    assert not any(handle.cancelled() for handle in handles)


@since(3, 12)
@pytest.mark.parametrize("asked", [False, True])
def test_each_of_a_burst_has_its_own_empty_context(loop: Loop, asked: bool) -> None:
    """S3.3: callbacks for now and for later, set before the loop runs and while it does."""
    handles: list[asyncio.Handle] = []
    seen: list[tuple[int, bool]] = []

    def step(index: int) -> None:
        number.set(number.get() + 1)
        context = handles[index].get_context()
        here: contextvars.ContextVar[int] = contextvars.ContextVar("here")
        here.set(index)
        seen.append((number.get(), context.get(here) == index and len(context) == 2))
        if len(seen) == 12_000:
            loop.stop()

    def schedule() -> None:
        for _ in range(3000):
            handles.append(loop.call_soon(step, len(handles)))
            handles.append(loop.call_later(0, step, len(handles)))
        if asked:
            contexts = [handle.get_context() for handle in handles]
            assert len({id(context) for context in contexts}) == len(handles)
            assert all(a is b.get_context() for a, b in zip(contexts, handles, strict=True))

    def start() -> None:
        schedule()
        loop.call_soon(schedule)

    contextvars.Context().run(start)
    loop.run_forever()
    assert seen == [(1, True)] * 12_000
    assert all(handle.get_context()[number] == 1 for handle in handles)


@ferroloop_only("asyncio's frame of the failed call keeps the context", "S3.9")
def test_failed_call_makes_no_cycle(loop: Loop, errors: list[dict[str, Any]]) -> None:
    """S3.9: the exception, its frames and the handle die by reference count."""
    gc.collect()
    gc.disable()
    try:
        payload = Payload()
        dead = weakref.ref(payload)

        def fail(payload: Payload) -> None:
            raise ValueError

        loop.call_soon(fail, payload)
        del payload
        turn(loop)
        assert dead() is not None, "the reported handle is in the context"
        errors.clear()
        assert dead() is None
    finally:
        gc.enable()


def test_failure_is_reported(loop: Loop, errors: list[dict[str, Any]]) -> None:
    """S3.10, S9.14: and the loop goes on."""
    after: list[int] = []

    def fail(n: int) -> None:
        raise ValueError(n)

    handle = loop.call_soon(fail, 5)
    loop.call_soon(after.append, 1)
    turn(loop)
    (context,) = errors
    assert re.match(r"Exception in callback .*fail\(", context["message"])
    assert f" at {__file__}:{fail.__code__.co_firstlineno}" in context["message"]
    assert repr(context["exception"]) == "ValueError(5)"
    assert context["handle"] is handle
    assert "source_traceback" not in context
    assert after == [1]


def test_failure_in_debug_mode(loop: Loop, errors: list[dict[str, Any]]) -> None:
    """S3.10: with the place where the handle was made."""
    loop.set_debug(True)
    line = sys._getframe().f_lineno + 1
    loop.call_soon(lambda: 1 // 0)
    turn(loop)
    assert errors[0]["source_traceback"][-1].lineno == line


class Odd(BaseException):
    """Neither an Exception nor an exit request."""


@pytest.mark.parametrize("kind", [ValueError, Odd, asyncio.CancelledError, GeneratorExit])
def test_all_but_exit_requests_are_handled(loop: Loop, errors: list[dict[str, Any]], kind: type[BaseException]) -> None:
    """S3.10, S0.12."""

    def fail() -> None:
        raise kind

    loop.call_soon(fail)
    loop.call_later(0, fail)
    loop.run_until_complete(asyncio.sleep(0.002))
    assert [type(context["exception"]) for context in errors] == [kind, kind]


@since(3, 14)
def test_cancel_from_another_thread(loop: Loop) -> None:
    """S3.11: after cancel() the callback has finished or never starts."""
    seen: list[tuple[list[str], list[str]]] = []

    def callback(state: list[str]) -> None:
        state.append("started")
        for _ in range(20):
            pass
        state.append("finished")

    def in_thread() -> None:
        for n in range(300):
            state: list[str] = []
            handle = loop.call_soon_threadsafe(callback, state)
            for _ in range(n):
                pass
            handle.cancel()
            seen.append((state.copy(), state))
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=in_thread)
    thread.start()
    loop.run_forever()
    thread.join()
    assert [(then, now) for then, now in seen if then not in ([], ["started", "finished"]) or now != then] == []


@since(3, 14)
def test_a_second_cancel_waits_too(loop: Loop) -> None:
    """S3.11: also after a callback that has cancelled itself."""
    begun, cancelled, ended = threading.Event(), threading.Event(), threading.Event()

    def callback() -> None:
        handle.cancel()
        begun.set()
        assert not cancelled.wait(0.02)
        ended.set()

    def in_thread() -> None:
        begun.wait()
        handle.cancel()
        assert ended.is_set()
        cancelled.set()
        loop.call_soon_threadsafe(loop.stop)

    handle = loop.call_soon_threadsafe(callback)
    thread = threading.Thread(target=in_thread)
    thread.start()
    loop.run_forever()
    thread.join()
    assert cancelled.is_set()


@since(3, 14)
def test_who_waits_hears_signals(loop: Loop) -> None:
    """S3.11: in the main thread, while another one runs the callback."""
    begun, done = threading.Event(), threading.Event()
    loop.call_soon_threadsafe(loop.stop)

    def callback() -> None:
        begun.set()
        assert done.wait(10)

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    handle = loop.call_soon_threadsafe(callback)
    old = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.main_thread().ident
    assert main is not None
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    assert begun.wait(10)
    clock = threading.Timer(0.05, signal.pthread_kill, [main, signal.SIGUSR1])
    clock.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            handle.cancel()
    finally:
        done.set()
        clock.join()
        thread.join()
        signal.signal(signal.SIGUSR1, old)


@pytest.mark.parametrize("method", ["call_soon(print)", "call_later(60, print)"])
def test_a_long_chain_of_weak_references_dies(run_script: Callable[..., Script], method: str) -> None:
    """S3.9: the end of each handle lets go of the next."""
    code = f"""
        import weakref
        loop = new_event_loop()
        first = handle = loop.{method}
        ends = {{}}
        for _ in range(200_000):
            reference = weakref.ref(handle, ends.pop)
            handle = ends[reference] = loop.{method}
        loop.close()
        del first, handle, reference
        print("alive")
    """
    assert run_script(code).out == "alive\n"


@pytest.mark.parametrize("method", ["call_soon(print", "call_later(60, print"])
def test_a_long_chain_dies(run_script: Callable[..., Script], method: str) -> None:
    """S3: each handle has the last reference to the one before."""
    code = f"""
        loop = new_event_loop()
        handle = None
        for _ in range(300_000):
            handle = loop.{method}, handle)
        loop.close()
        del handle
        print("alive")
    """
    assert run_script(code).out == "alive\n"
