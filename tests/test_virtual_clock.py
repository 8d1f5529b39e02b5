"""`ferroloop.testing.VirtualClockLoop`: as any other loop, but it does not wait for its timers (S1.9, S4, S5)."""

import asyncio
import contextlib
import gc
import importlib
import math
import random
import selectors
import signal
import socket
import sys
import threading
import time
import unittest
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from support.gates import ferroloop_only, since
from support.log import LogList
from support.loops import Loop
from support.net import unix_pair
from support.scripts import Script
from support.signals import Delayed
from support.tls import tls_connection
from support.turns import turn

pytestmark = ferroloop_only("asyncio has no such loop", spec="S1.9")

# Longer than any test takes, in real seconds: who waits that long waits in vain.
PATIENT = 30.0


@pytest.fixture
def make(loop_kind: str, _no_fd_left: None, _asyncio_log: LogList) -> Iterator[Callable[..., Any]]:
    """A factory of loops with virtual clocks, all closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Any:
            loop = importlib.import_module("ferroloop.testing").VirtualClockLoop(**options)
            stack.callback(loop.close)
            return loop

        yield make


@pytest.fixture
def loop(make: Callable[..., Any]) -> Any:
    """A loop that does not wait."""
    return make()


@pytest.fixture
def patient(make: Callable[..., Any]) -> Any:
    """A loop that really waits before time jumps."""
    return make(threshold=PATIENT)


def test_hours(loop: Any) -> None:
    """Days of sleep, and who sleeps looks at the clock."""

    async def main() -> None:
        assert loop.time() == 0
        for hours in range(1, 101):
            await asyncio.sleep(3600)
            assert loop.time() == hours * 3600

    started = time.monotonic()
    loop.run_until_complete(main())
    assert time.monotonic() - started < 10
    lateness = loop.stats()["lateness"]
    assert (lateness["count"], lateness["sum"]) == (100, 0)


def test_time_goes_on_between_runs(loop: Any) -> None:
    """A run begins where the last one ended, and a closed loop still tells the time."""
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(5))
    assert loop.time() == 15
    loop.close()
    assert loop.time() == 15


def test_time_stands_still_in_callbacks(loop: Any) -> None:
    """However many there are, and however long they take."""

    async def main() -> None:
        loop.call_later(0.001, times.append, "timer")
        for _ in range(2000):
            await asyncio.sleep(0)
        time.sleep(0.002)
        assert times == []
        assert loop.time() == 0

    times: list[str] = []
    loop.run_until_complete(main())


class Model:
    """What timers are meant to do: by deadline, then by age; what a callback adds waits for the next turn."""

    class Timer:
        def __init__(self, when: float, call: Callable[[], None]) -> None:
            self.when, self.call, self.cancelled = when, call, False

        def cancel(self) -> None:
            self.cancelled = True

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Model.Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, function: Callable[..., None], *args: Any) -> "Model.Timer":
        self.timers.append(Model.Timer(self.now + delay, partial(function, *args)))
        return self.timers[-1]

    def run(self) -> None:
        while self.timers:
            self.now = max(self.now, min(timer.when for timer in self.timers if not timer.cancelled))
            # A stable sort.
            due = sorted((timer for timer in self.timers if timer.when <= self.now), key=lambda timer: timer.when)
            self.timers = [timer for timer in self.timers if timer.when > self.now and not timer.cancelled]
            for timer in due:
                if not timer.cancelled:
                    timer.call()


def random_timers(loop: Any, seed: int) -> list[tuple[int, float]]:
    """Have timers make and cancel others: which fired, and when."""
    dice = random.Random(seed)
    made: list[Any] = []
    fired: list[tuple[int, float]] = []

    def make() -> None:
        # Few enough values that many fall together, and some so close that a real clock could not part them.
        delay = dice.choice([-1, 0, 0.1, 0.2, 0.3, 1, 1 + 1e-12, 3600, 86_400])
        made.append(loop.call_later(delay, fire, len(made)))

    def fire(number: int) -> None:
        fired.append((number, loop.time()))
        for _ in range(dice.choice([0, 0, 0, 1, 2])):
            make()
        dice.choice(made).cancel()

    for _ in range(200):
        make()
    return fired


@pytest.mark.parametrize("seed", range(20))
def test_order_of_timers(loop: Any, seed: int) -> None:
    """S5.5: each at its very deadline, those of one moment in the order in which they were made."""
    model = Model()
    expected = random_timers(model, seed)
    model.run()
    fired = random_timers(loop, seed)
    loop.call_at(1e9, loop.stop)
    loop.run_forever()
    assert len(fired) > 50
    assert fired == expected


class Jumping(asyncio.SelectorEventLoop):
    """asyncio's own loop with such a clock. Its selector knows of no events but the loop's own."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = selectors.DefaultSelector()
        self._look, selector.select = selector.select, self._select  # type: ignore[method-assign]
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def _select(self, timeout: float | None = None) -> Any:
        events = self._look(0)
        if not events and timeout:
            self.now = self._scheduled[0].when()  # type: ignore[attr-defined]
        return events


async def random_tasks(loop: Loop, seed: int) -> list[tuple[Any, ...]]:
    """Have tasks sleep, wait for each other with and without a limit, and cancel each other: what each met."""
    dice = random.Random(seed)
    log: list[tuple[Any, ...]] = []
    tasks: list[asyncio.Task[None]] = []
    ready = asyncio.Condition()

    async def work(name: int) -> None:
        for step in range(dice.randrange(1, 6)):
            # No two deadlines are the same: asyncio leaves open which of those comes first.
            seconds = dice.random() * 100
            try:
                match dice.randrange(6):
                    case 0:
                        await asyncio.sleep(0)
                    case 1 | 2:
                        await asyncio.sleep(seconds)
                    case 3:
                        async with ready:
                            await asyncio.wait_for(ready.wait(), seconds)
                    case 4:
                        async with asyncio.timeout(seconds), ready:
                            await asyncio.sleep(dice.random() * 100)
                            ready.notify_all()
                    case _:
                        await asyncio.wait(dice.sample(tasks, 2), timeout=seconds)
                        dice.choice(tasks).cancel()
                log.append((name, step, loop.time()))
            except (TimeoutError, asyncio.CancelledError) as exc:
                log.append((name, step, loop.time(), type(exc)))

    tasks += [loop.create_task(work(name)) for name in range(20)]
    await asyncio.gather(*tasks, return_exceptions=True)
    return log


@pytest.mark.parametrize("seed", range(20))
def test_order_of_tasks(loop: Any, seed: int) -> None:
    """S4: to the last step as on asyncio's loop."""
    with asyncio.Runner(loop_factory=Jumping) as runner:
        expected = runner.run(random_tasks(runner.get_loop(), seed))
    assert loop.run_until_complete(random_tasks(loop, seed)) == expected
    assert len(expected) > 20


def test_timeouts(loop: Any) -> None:
    """What has a limit ends at the limit."""

    async def main() -> None:
        for limited in range(1, 4):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.create_future(), 60)
            assert loop.time() == limited * 60
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1e6):
                await asyncio.sleep(1e7)
        assert loop.time() == 1e6 + 180

    loop.run_until_complete(main())


def test_handshake_timeout(loop: Any, pair: tuple[socket.socket, socket.socket]) -> None:
    """TLS goes by the loop's time, too."""
    options: dict[str, Any] = {"ssl": True, "server_hostname": "localhost", "ssl_handshake_timeout": 3600}

    async def main() -> None:
        with pytest.raises(ConnectionAbortedError, match="3600"):
            await loop.create_connection(asyncio.Protocol, sock=pair[0], **options)
        assert loop.time() == 3600

    loop.run_until_complete(main())


def test_tls_with_both_ends_here(loop: Any) -> None:
    """While they shake hands there is something to do: their limit of a minute does not come."""

    async def main() -> None:
        async with tls_connection(pair=unix_pair) as (transport, _, peer):
            transport.write(b"over TLS")
            assert await peer.receive(8) == b"over TLS"
        assert loop.time() < 60

    loop.run_until_complete(main())


def test_what_is_ready_comes_before_the_jump(loop: Any, pair: tuple[socket.socket, socket.socket]) -> None:
    """Time waits for bytes that are there."""
    left, right = pair
    seen: list[tuple[str, float]] = []

    def receive() -> None:
        seen.append((right.recv(10).decode(), loop.time()))

    loop.add_reader(right, receive)
    loop.call_later(1, left.send, b"sent")
    loop.call_later(1 + 1e-9, lambda: seen.append(("later", loop.time())))
    loop.call_later(2, loop.stop)
    loop.run_forever()
    loop.remove_reader(right)
    assert seen == [("sent", 1), ("later", 1 + 1e-9)]


def test_streams(loop: Any) -> None:
    """A conversation within one loop takes no time but what it sleeps."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await asyncio.sleep(10)
            writer.write(line)
        writer.close()

    async def main() -> None:
        left, right = unix_pair()
        ours = await asyncio.open_connection(sock=left)
        task = loop.create_task(answer(*await asyncio.open_connection(sock=right)))
        for asked in range(100):
            ours[1].write(b"a line\n")
            async with asyncio.timeout(11):
                assert await ours[0].readline() == b"a line\n"
            assert loop.time() == (asked + 1) * 10
        ours[1].close()
        await task
        await ours[1].wait_closed()

    loop.run_until_complete(main())


def test_a_thread_has_the_threshold(patient: Any) -> None:
    """What comes within it is in time."""
    asked = threading.Event()

    def answer() -> None:
        asked.wait()
        patient.call_soon_threadsafe(patient.stop)

    thread = threading.Thread(target=answer)
    thread.start()
    timer = patient.call_later(0.001, patient.call_exception_handler, {"message": "jumped"})
    patient.call_soon(asked.set)
    patient.run_forever()
    timer.cancel()
    thread.join()
    assert patient.time() == 0


def test_an_executor_has_the_threshold(patient: Any) -> None:
    """A limit of a millisecond is far away while somebody works."""

    async def main() -> None:
        assert await asyncio.wait_for(asyncio.to_thread(time.sleep, 0.05), 0.001) is None
        assert patient.time() == 0

    patient.run_until_complete(main())


def test_an_executor_without_threshold(loop: Any) -> None:
    """The other way about: a limit of an hour is over before a thread has answered."""
    let_go = threading.Event()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(let_go.wait), 3600)
        assert loop.time() == 3600

    try:
        loop.run_until_complete(main())
    finally:
        let_go.set()
        loop.run_until_complete(loop.shutdown_default_executor())


def test_threads_are_waited_for_at_the_end(make: Callable[..., Any]) -> None:
    """S11: a Runner gives them five minutes, which must not be virtual ones."""
    ended: list[str] = []

    def work() -> None:
        time.sleep(0.05)
        ended.append("work")

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, work)

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())
    assert ended == ["work"]


@since(3, 12)
def test_a_limit_for_the_threads_is_not_heeded(loop: Any) -> None:
    """S11: nor does it let time jump."""

    async def main() -> None:
        loop.run_in_executor(None, time.sleep, 0.05)
        await loop.shutdown_default_executor(timeout=0.001)
        assert loop.time() == 0

    loop.run_until_complete(main())


def test_a_child_process_has_the_threshold(patient: Any) -> None:
    """Its output and its end are in time."""

    async def main() -> None:
        async with asyncio.timeout(0.001):
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "print('done')", stdout=asyncio.subprocess.PIPE
            )
            assert (await child.communicate())[0] == b"done\n"
        assert child.returncode == 0
        assert patient.time() == 0

    patient.run_until_complete(main())


def test_a_name_lookup_has_the_threshold(patient: Any) -> None:
    """S13: the threads that ask the C library wake the loop."""

    async def main() -> None:
        async with asyncio.timeout(0.001):
            assert await patient.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
        assert patient.time() == 0

    patient.run_until_complete(main())


def test_the_threshold_is_waited_for(make: Callable[..., Any]) -> None:
    """Before each jump, and however near the deadline is."""
    loop = make(threshold=0.05)
    started = time.monotonic()
    for seconds in (0.001, 3600, 0.001):
        loop.run_until_complete(asyncio.sleep(seconds))
    assert 0.15 <= time.monotonic() - started < 5
    assert loop.time() == pytest.approx(3600.002)


@pytest.mark.parametrize("deadline", [None, math.inf])
def test_without_a_deadline(loop: Any, deadline: float | None) -> None:
    """It waits for an event like any other loop, and sleeps meanwhile. The end of time is no deadline."""
    timer = loop.call_at(deadline, loop.stop) if deadline else None
    thread = threading.Timer(0.5, loop.call_soon_threadsafe, [loop.stop])
    thread.start()
    used, started = time.thread_time(), time.monotonic()
    loop.run_forever()
    assert time.thread_time() - used < 0.25
    assert time.monotonic() - started > 0.4
    assert loop.time() == 0
    thread.join()
    if timer:
        timer.cancel()


@pytest.mark.usefixtures("dispositions")
@pytest.mark.parametrize("deadline", [None, 3600])
def test_signal_handlers(patient: Any, deadline: float | None) -> None:
    """S36: a handler of the loop runs at once."""
    if deadline:
        patient.call_at(deadline, patient.stop)
    patient.add_signal_handler(signal.SIGUSR1, patient.stop)
    sender = Delayed(signal.SIGUSR1)
    patient.call_soon(sender.start)
    patient.run_forever()
    sender.join()
    patient.remove_signal_handler(signal.SIGUSR1)
    assert patient.time() == 0


@pytest.mark.usefixtures("dispositions")
@pytest.mark.parametrize("deadline", [None, 3600])
def test_keyboard_interrupt(patient: Any, deadline: float | None) -> None:
    """S36: Ctrl-C ends a run that waits, and moves no time."""
    if deadline:
        patient.call_at(deadline, patient.stop)
    sender = Delayed(signal.SIGINT)
    patient.call_soon(sender.start)
    with pytest.raises(KeyboardInterrupt):
        patient.run_forever()
    sender.join()
    assert patient.time() == 0


def test_keyboard_interrupt_amid_jumps(run_script: Callable[..., Script]) -> None:
    """S36: a program that only sleeps can be interrupted, however fast its time runs."""
    code = """
    import asyncio, os, signal, threading
    from ferroloop.testing import VirtualClockLoop

    async def main():
        threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
        while True:
            await asyncio.sleep(3600)

    try:
        with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
            runner.run(main())
    except KeyboardInterrupt:
        print("interrupted")
    """
    assert run_script(code).out.strip() == "interrupted"


@pytest.mark.usefixtures("dispositions")
def test_a_signal_handler_that_stops_the_loop(patient: Any) -> None:
    """S2.11: the iteration that it interrupts is the last one, without a jump."""
    signal.signal(signal.SIGUSR2, lambda *_: patient.stop())
    sender = Delayed(signal.SIGUSR2)
    timer = patient.call_later(3600, patient.call_exception_handler, {"message": "jumped"})
    patient.call_soon(sender.start)
    patient.run_forever()
    sender.join()
    timer.cancel()
    assert patient.time() == 0


@pytest.mark.usefixtures("dispositions")
def test_a_signal_handler_that_makes_a_timer(make: Callable[..., Any]) -> None:
    """Time jumps to the deadline that is the next one then."""
    loop = make(threshold=1)
    signal.signal(signal.SIGUSR2, lambda *_: loop.call_later(60, loop.stop))
    sender = Delayed(signal.SIGUSR2)
    loop.call_later(3600, loop.stop)
    loop.call_soon(sender.start)
    loop.run_forever()
    sender.join()
    assert loop.time() == 60


def test_a_stop_comes_before_a_jump(loop: Any) -> None:
    """S2.9: a turn that does not wait moves no time."""
    loop.call_later(1, loop.call_exception_handler, {"message": "jumped"})
    turn(loop, 3)
    assert loop.time() == 0


def test_a_cancelled_timer_is_no_deadline(loop: Any) -> None:
    """S5.9: time is no later for it."""
    loop.call_later(1, loop.call_exception_handler, {"message": "cancelled"}).cancel()
    loop.run_until_complete(asyncio.sleep(2))
    loop.call_later(60, loop.call_exception_handler, {"message": "cancelled"}).cancel()
    threading.Timer(0.01, loop.call_soon_threadsafe, [loop.stop]).start()
    loop.run_forever()
    assert loop.time() == 2


def test_spinning(make: Callable[..., Any]) -> None:
    """A loop that polls before it sleeps jumps all the same."""
    loop = make(threshold=0.02)
    loop.set_spin(1)
    started = time.monotonic()
    loop.run_until_complete(asyncio.sleep(3600))
    assert 0.02 <= time.monotonic() - started < 0.9


def test_debug_mode(loop: Any, logged: LogList) -> None:
    """S8.6: no callback takes long on a clock that waits for it."""

    async def main() -> None:
        time.sleep(0.15)
        await asyncio.sleep(3600)

    loop.set_debug(True)
    loop.run_until_complete(main())
    assert loop.time() == 3600
    assert not [text for text in logged.texts() if text.startswith("Executing")]


@pytest.mark.parametrize("threshold", [-1e-9, math.nan, -math.inf])
def test_thresholds_out_of_range(make: Callable[..., Any], threshold: float) -> None:
    """A loop that cannot be made is closed."""
    with pytest.raises(ValueError, match=f"a threshold is 0 seconds or more, got {threshold}"):
        make(threshold=threshold)
    gc.collect()


@pytest.mark.parametrize("threshold", ["0.1", None, b"1"])
def test_no_number(make: Callable[..., Any], threshold: Any) -> None:
    """Nor can it be made with what is none."""
    with pytest.raises(TypeError):
        make(threshold=threshold)
    gc.collect()


@pytest.mark.parametrize("threshold", [1e300, math.inf])
def test_endless_patience(make: Callable[..., Any], threshold: float) -> None:
    """More than anybody will wait is no overflow."""
    loop = make(threshold=threshold)
    loop.call_later(1, loop.call_exception_handler, {"message": "jumped"})
    threading.Timer(0.05, loop.call_soon_threadsafe, [loop.stop]).start()
    loop.run_forever()
    assert loop.time() == 0


@pytest.mark.parametrize("deadline", [1e300, math.nextafter(math.inf, 0), -math.inf, math.nan])
def test_strange_deadlines(loop: Any, deadline: float) -> None:
    """S5.4: time comes to each, and what is past or no number is due at once."""
    loop.call_at(deadline, loop.stop)
    loop.run_forever()
    assert loop.time() == (deadline if deadline > 0 else 0)


def test_garbage(loop: Any) -> None:
    """S3.9: a loop with timers to come dies like any other."""
    other = type(loop)()
    other.call_later(3600, other.stop)
    other.run_until_complete(asyncio.sleep(1))
    other.close()
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None


@since(3, 13)
def test_unittest(loop: Any) -> None:
    """S1.10: as the loop of a test case."""
    seen: list[float] = []

    class Case(unittest.IsolatedAsyncioTestCase):
        loop_factory = type(loop)

        async def test(self) -> None:
            await asyncio.sleep(3600)
            seen.append(asyncio.get_running_loop().time())

    result = unittest.TestResult()
    Case("test").run(result)
    assert result.wasSuccessful(), result
    assert seen == [3600]


def test_import(run_script: Callable[..., Script]) -> None:
    """S1.2: only who asks for it has it."""
    run_script("assert 'ferroloop.testing' not in sys.modules")
