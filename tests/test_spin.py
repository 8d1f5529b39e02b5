"""Polling for a while before sleeping, `loop.set_spin`: what a loop does must not depend on it (S4.2, S4.15, S5.10)."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.loops import Run
from support.scripts import Script, environment

pytestmark = ferroloop_only("asyncio has no such option", spec="S4.2")


@pytest.fixture
def spinning(loop: Any) -> Any:
    """A loop that polls as long as it may."""
    loop.set_spin(1)
    return loop


def test_option(loop: Any) -> None:
    """Off, until somebody asks for it."""
    assert loop.get_spin() == 0
    loop.set_spin(0.5)
    assert loop.get_spin() == 0.5
    loop.set_spin(1)
    assert loop.get_spin() == 1
    loop.set_spin(0)
    assert loop.get_spin() == 0


@pytest.mark.parametrize("seconds", [-1e-9, 1.001, float("nan"), float("inf"), -float("inf")])
def test_seconds_out_of_range(loop: Any, seconds: float) -> None:
    """A wrong number changes nothing."""
    loop.set_spin(0.5)
    with pytest.raises(ValueError, match=f"a loop spins for 0 to 1 seconds, got {seconds}"):
        loop.set_spin(seconds)
    assert loop.get_spin() == 0.5


@pytest.mark.parametrize("seconds", ["0.1", None, b"1"])
def test_no_number(loop: Any, seconds: Any) -> None:
    """Nor does what is not a number."""
    with pytest.raises(TypeError):
        loop.set_spin(seconds)
    assert loop.get_spin() == 0


@pytest.mark.parametrize(("value", "expected"), [("0.0001", "0.0001"), ("0", "0.0"), ("", "0.0")])
def test_environment(run_script: Callable[..., Script], value: str, expected: str) -> None:
    """FERROLOOP_SPIN is what new loops begin with."""
    code = "loop = new_event_loop(); print(loop.get_spin()); loop.close()"
    assert run_script(code, env=environment(FERROLOOP_SPIN=value)).out.strip() == expected


@pytest.mark.parametrize(("value", "words"), [("fast", "could not convert"), ("2", "a loop spins for 0 to 1 seconds")])
def test_wrong_environment(run_script: Callable[..., Script], value: str, words: str) -> None:
    """Who reads that the import failed learns which variable to look at."""
    script = run_script("", env=environment(FERROLOOP_SPIN=value), check=False)
    assert f"ValueError: FERROLOOP_SPIN: {words}" in script.err


def test_closed_loop(new_loop: Callable[[], Any]) -> None:
    """The option outlives the loop, as the debug mode does."""
    loop = new_loop()
    loop.close()
    loop.set_spin(0.5)
    assert loop.get_spin() == 0.5


def test_messages(spinning: Any, run: Run) -> None:
    """A message ends the polling: many fit into the time of one."""
    rounds = 1000
    left, right = socket.socketpair()

    def answer() -> None:
        for _ in range(rounds):
            right.sendall(right.recv(1))

    async def main() -> None:
        for _ in range(rounds):
            await spinning.sock_sendall(left, b"x")
            assert await spinning.sock_recv(left, 1) == b"x"

    left.setblocking(False)
    thread = threading.Thread(target=answer)
    with left, right:
        thread.start()
        run(main())
        thread.join()


def test_other_threads_run_and_wake_the_loop(spinning: Any, run: Run) -> None:
    """S6: each call arrives, though the loop never sleeps for as long as it takes to make it."""
    calls = 200

    def call(answered: threading.Event) -> None:
        spinning.call_soon_threadsafe(answered.set)

    async def main() -> None:
        for _ in range(calls):
            answered = threading.Event()
            await spinning.run_in_executor(None, call, answered)
            await spinning.run_in_executor(None, answered.wait)

    run(main())


def test_timers_are_not_early(spinning: Any, run: Run) -> None:
    """S5.10: neither those that are due while it polls nor those after it."""
    spinning.set_spin(0.001)
    late: list[float] = []

    async def main() -> None:
        for delay in (0.0001, 0.0009, 0.001, 0.0011, 0.01) * 5:
            when = spinning.time() + delay
            ready = spinning.create_future()
            spinning.call_at(when, ready.set_result, None)
            await ready
            late.append(spinning.time() - when)

    run(main())
    # What counts as due is the clock's step ahead of its time.
    assert min(late) >= -2e-9


def test_it_ends_and_the_loop_sleeps(spinning: Any, run: Run) -> None:
    """A loop with nothing to do costs what it was told, and no more."""
    spinning.set_spin(0.01)

    async def main() -> float:
        before = time.thread_time()
        await asyncio.sleep(1)
        return time.thread_time() - before

    assert run(main()) < 0.5


def test_stop_from_a_thread(spinning: Any) -> None:
    """S2.11: with a wake-up, at once, and not when the second of polling is over."""

    def stop() -> None:
        time.sleep(0.05)
        spinning.call_soon_threadsafe(spinning.stop)

    thread = threading.Thread(target=stop)
    started = time.monotonic()
    spinning.call_soon(thread.start)
    spinning.run_forever()
    assert time.monotonic() - started < 0.5
    thread.join()


def test_signal_handlers(spinning: Any) -> None:
    """S36: a handler of the loop, and one of the signal module, which has to run though nothing else happens."""
    plain: list[int] = []

    def handle(number: int, _: object) -> None:
        plain.append(number)
        spinning.call_soon_threadsafe(os.kill, os.getpid(), signal.SIGUSR1)

    old = signal.signal(signal.SIGUSR2, handle)
    spinning.add_signal_handler(signal.SIGUSR1, spinning.stop)
    try:
        spinning.call_soon(os.kill, os.getpid(), signal.SIGUSR2)
        spinning.run_forever()
    finally:
        spinning.remove_signal_handler(signal.SIGUSR1)
        signal.signal(signal.SIGUSR2, old)
    assert plain == [signal.SIGUSR2]


def test_keyboard_interrupt(run_script: Callable[..., Script]) -> None:
    """S36: Ctrl-C of a program that waits for nothing but that."""
    code = """
import asyncio, os, signal, threading
loop = new_event_loop()
loop.set_spin(1)
interrupt = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT))
loop.call_soon(interrupt.start)
try:
    loop.run_forever()
except KeyboardInterrupt:
    print("interrupted")
interrupt.join()
loop.close()
"""
    assert run_script(code).out.strip() == "interrupted"


def test_callbacks_that_a_signal_handler_queues(spinning: Any) -> None:
    """What `call_soon` queues there runs, and does not wait for another event."""

    def handle(_: int, __: object) -> None:
        spinning.call_soon(spinning.stop)

    old = signal.signal(signal.SIGUSR2, handle)
    thread = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR2))
    try:
        spinning.call_soon(thread.start)
        spinning.run_forever()
    finally:
        signal.signal(signal.SIGUSR2, old)
    thread.join()
