"""S36: signals end the loop's sleep, whatever it sleeps in; and none that was last is lost."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.certificates import HOST, client_context
from support.gates import ferroloop_only
from support.loops import Loop, NewLoop
from support.scripts import Script
from support.signals import Delayed, succeeds_within
from support.turns import until

RunScript = Callable[..., Script]
# Makes a loop do something for ten seconds, unless it is stopped; calls the function once it is at it.
Work = Callable[[Loop, Callable[[], None]], None]

pytestmark = pytest.mark.usefixtures("dispositions")

# Seconds between the signal and its effect.
PROMPT = 0.05


def idle(loop: Loop, at_it: Callable[[], None]) -> None:
    """Nothing to do: an endless poll, but for the alarm of a test gone wrong."""
    loop.call_soon(at_it)
    loop.call_later(10, loop.stop)
    loop.run_forever()


def busy(loop: Loop, at_it: Callable[[], None]) -> None:
    """Never a poll that sleeps, and no Python code between the callbacks."""
    loop.call_soon(at_it)
    loop.call_later(10, loop.stop)

    def again() -> None:
        loop.call_soon(again)

    again()
    loop.run_forever()


def waits_for_a_thread(loop: Loop, at_it: Callable[[], None]) -> None:
    """An executor works."""
    over = threading.Event()

    async def main() -> None:
        work = loop.run_in_executor(None, over.wait, 10)
        loop.call_soon(at_it)
        done, _ = await asyncio.wait([work, loop.create_task(stopped())], return_when=asyncio.FIRST_COMPLETED)
        assert work not in done

    async def stopped() -> None:
        await asyncio.sleep(10)

    try:
        until_stopped(loop, main())
    finally:
        over.set()


def shakes_hands(loop: Loop, at_it: Callable[[], None]) -> None:
    """A TLS connection to somebody who does not answer."""
    ours, peer = socket.socketpair()

    def greeted() -> None:
        loop.remove_reader(peer)
        at_it()

    async def main() -> None:
        loop.add_reader(peer, greeted)
        options: dict[str, Any] = {"ssl": client_context(), "server_hostname": HOST, "ssl_handshake_timeout": 10}
        await loop.create_connection(asyncio.Protocol, sock=ours, **options)

    try:
        until_stopped(loop, main())
    finally:
        peer.close()
        until(loop, lambda: ours.fileno() == -1)


def until_stopped(loop: Loop, work: Coroutine[Any, Any, None]) -> None:
    """Run it until somebody stops the loop or raises; nothing of it is left then."""
    try:
        loop.run_until_complete(work)
    except RuntimeError as exc:
        assert str(exc) == "Event loop stopped before Future completed."  # noqa: PT017  # or the alarm's
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks))


WORKS: list[Work] = [idle, busy, waits_for_a_thread, shakes_hands]


@pytest.mark.parametrize("work", WORKS)
def test_interrupt(new_loop: NewLoop, work: Work) -> None:
    """S36.10: KeyboardInterrupt leaves the run at once, and the loop can be run again."""

    def attempt() -> float:
        loop, interrupt = new_loop(), Delayed(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            work(loop, interrupt.start)
        passed = time.monotonic() - interrupt.sent
        if work is not busy:  # there it may strike between any two instructions, asyncio's own too
            loop.run_until_complete(asyncio.sleep(0))
        return passed

    assert succeeds_within(PROMPT, attempt)


@pytest.mark.parametrize("work", WORKS)
def test_plain_handler(new_loop: NewLoop, work: Work) -> None:
    """S36.11: a handler set with signal.signal runs while the loop sleeps."""

    def attempt() -> float:
        loop = new_loop()
        ran: list[float] = []

        def handler(*_args: object) -> None:
            ran.append(time.monotonic())
            loop.call_soon_threadsafe(loop.stop)

        signal.signal(signal.SIGTERM, handler)
        term = Delayed(signal.SIGTERM)
        work(loop, term.start)
        term.join()
        return ran[0] - term.sent

    assert succeeds_within(PROMPT, attempt)


@pytest.mark.parametrize("work", WORKS)
def test_handler_of_the_loop(new_loop: NewLoop, work: Work) -> None:
    """S36.1."""

    def attempt() -> float:
        loop = new_loop()
        ran: list[float] = []
        loop.add_signal_handler(signal.SIGTERM, lambda: (ran.append(time.monotonic()), loop.stop()))
        term = Delayed(signal.SIGTERM)
        work(loop, term.start)
        term.join()
        loop.remove_signal_handler(signal.SIGTERM)
        return ran[0] - term.sent

    assert succeeds_within(PROMPT, attempt)


def test_interrupted_runner(new_loop: NewLoop) -> None:
    """S36.10, S50.1: the first Ctrl-C cancels the main task, and KeyboardInterrupt comes at the end."""

    def attempt() -> float:
        cancelled: list[float] = []
        interrupt = Delayed(signal.SIGINT)

        async def main() -> None:
            interrupt.start()
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                cancelled.append(time.monotonic())
                raise

        with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
        return cancelled[0] - interrupt.sent

    assert succeeds_within(PROMPT, attempt)


def test_second_interrupt_of_a_runner(new_loop: NewLoop) -> None:
    """S50.1: ends the run at once, though the task does not want to."""

    async def main() -> None:
        Delayed(signal.SIGINT).start()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(10)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert time.monotonic() - started < 5


def test_interrupt_with_a_handler_pending(loop: Loop) -> None:
    """S36.10, S36.4: a signal that comes together with Ctrl-C is handled by the next run."""
    seen: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "usr1")
    for _ in range(20):
        seen.clear()
        # Both are pending when the loop is told: neither can be sent while one is handled.
        both = {signal.SIGINT, signal.SIGUSR1}

        def raise_both(both: set[signal.Signals] = both) -> None:
            signal.pthread_sigmask(signal.SIG_BLOCK, both)
            try:
                for number in both:
                    # To this thread: another one would take it, and the interrupt come before its time.
                    signal.pthread_kill(threading.get_ident(), number)
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, both)

        loop.call_soon(raise_both)
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        until(loop, lambda: seen == ["usr1"])


@ferroloop_only("asyncio's self-pipe holds some hundred numbers, and loses what does not fit", "S36.4")
def test_a_burst_loses_no_last_one(loop: Loop) -> None:
    """S36.4: 10,000 signals of a thread that does not wait; the loop hears of the last."""
    count = 10_000
    sent = 0
    heard: list[int] = []
    loop.add_signal_handler(signal.SIGUSR1, lambda: heard.append(sent))

    def send() -> None:
        nonlocal sent
        for _ in range(count):
            sent += 1
            os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=send)
    thread.start()
    until(loop, lambda: bool(heard) and heard[-1] == count, seconds=30)
    thread.join()
    assert heard == sorted(heard)
    assert len(heard) <= count


def test_a_burst_in_one_callback(loop: Loop) -> None:
    """S36.4, S6.5: the pipe holds what came while the loop was away, and the one after it."""
    seen: dict[str, int] = {"usr1": 0, "usr2": 0}

    def count(name: str) -> None:
        seen[name] += 1

    def burst() -> None:
        for _ in range(100):
            os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)

    loop.add_signal_handler(signal.SIGUSR1, count, "usr1")
    loop.add_signal_handler(signal.SIGUSR2, count, "usr2")
    for times in range(1, 101):
        loop.call_soon(burst)
        until(loop, lambda times=times: seen["usr2"] == times)
        assert seen["usr1"] >= times


def test_a_full_pipe_is_not_for_ever(run_script: RunScript) -> None:
    """S36.13: Python warns of what is lost, and the signals afterwards arrive."""
    code = """
import os, signal
loop = new_event_loop()
seen = []
loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
loop.add_signal_handler(signal.SIGUSR2, loop.stop)
loop.call_later(20, os._exit, 9)
def flood():
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    try:
        while True:
            os.write(fd, bytes([signal.SIGUSR1]))
    except BlockingIOError:
        os.kill(os.getpid(), signal.SIGUSR1)
    loop.call_later(0.05, os.kill, os.getpid(), signal.SIGUSR2)
loop.call_soon(flood)
loop.run_forever()
print(len(seen) > 0)
loop.close()
"""
    script = run_script(code)
    assert script.out == "True\n"
    assert "trying to write to the signal wakeup fd" in script.err


def test_signals_do_not_end_system_calls(loop: Loop) -> None:
    """S35.6: SA_RESTART, so that a blocking call of another thread is not cut short."""
    reader, writer = os.pipe()
    got: list[bytes] = []
    loop.add_signal_handler(signal.SIGUSR1, lambda: None)
    thread = threading.Thread(target=lambda: got.append(os.read(reader, 5)))
    thread.start()
    try:
        for _ in range(5):
            time.sleep(0.005)
            signal.pthread_kill(thread.ident or 0, signal.SIGUSR1)
    finally:
        os.write(writer, b"whole")
        thread.join(10)
        os.close(reader)
        os.close(writer)
    assert got == [b"whole"]
