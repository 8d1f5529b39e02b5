"""A loop driven from outside by `backend_fd`, `backend_timeout` and `run_once`: as a run, one iteration at a time."""

import asyncio
import contextlib
import importlib
import math
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.loops import NewLoop
from support.net import unix_pair
from support.protocols import Recorder
from support.signals import wakeup_fd

pytestmark = ferroloop_only("asyncio has no such methods", spec="S2.27")

SOON = 20.0


def is_readable(loop: Any, seconds: float = 0) -> bool:
    """Whether a host that waits so long hears of something."""
    poll = select.poll()
    poll.register(loop.backend_fd(), select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def drive(loop: Any, done: Callable[[], object]) -> None:
    """A host with nothing else to do: it waits as it is told, and nothing may come later than that."""
    while not done():
        seconds = loop.backend_timeout()
        assert is_readable(loop, SOON if seconds is None else seconds) or seconds is not None
        loop.run_once()


class Host:
    """An asyncio loop as host, with a guest watched as documented."""

    def __init__(self, guest: Any) -> None:
        self.loop = asyncio.SelectorEventLoop()
        self.guest = guest
        self.timer: asyncio.TimerHandle | None = None
        self.loop.add_reader(guest.backend_fd(), self.iterate)
        self.loop.call_soon(self.iterate)

    def iterate(self) -> None:
        """One of the guest's, and the time of the next."""
        if self.timer is not None:
            self.timer.cancel()
        assert asyncio.get_running_loop() is self.loop
        self.guest.run_once()
        assert asyncio.get_running_loop() is self.loop
        seconds = self.guest.backend_timeout()
        self.timer = None if seconds is None else self.loop.call_later(seconds, self.iterate)

    def run(self, main: Any) -> Any:
        """Run a coroutine on the guest."""
        task = self.guest.create_task(main)
        task.add_done_callback(lambda _: self.loop.stop())
        self.loop.run_forever()
        return task.result()


@pytest.fixture
def host(loop: Any) -> Iterator[Host]:
    """An asyncio loop that `loop` is a guest of."""
    host = Host(loop)
    yield host
    host.loop.remove_reader(loop.backend_fd())
    host.loop.close()


def test_timeout(loop: Any) -> None:
    """None without timers, 0 with something to do, else until the next timer, but no longer than a day."""
    assert loop.backend_timeout() is None
    loop.call_soon(int)
    assert loop.backend_timeout() == 0
    assert loop.run_once() is True
    assert loop.backend_timeout() is None
    timer = loop.call_later(60, int)
    assert 0 < loop.backend_timeout() <= 60
    timer.cancel()
    assert loop.backend_timeout() is None
    timer = loop.call_later(1e9, int)
    assert loop.backend_timeout() == 24 * 3600
    timer.cancel()
    loop.stop()
    assert loop.backend_timeout() == 0
    assert loop.run_once() is False
    assert loop.backend_timeout() is None
    loop.call_at(loop.time() - 1, int)
    assert loop.backend_timeout() == 0
    loop.run_once()


def test_events(loop: Any) -> None:
    """The descriptor is readable while there is something to read."""
    left, right = unix_pair()
    with left, right:
        loop.add_reader(left, lambda: seen.append(left.recv(1)))
        seen: list[bytes] = []
        assert not is_readable(loop)
        right.send(b"x")
        assert is_readable(loop)
        loop.run_once()
        assert seen == [b"x"]
        assert not is_readable(loop)
        loop.remove_reader(left)


def test_noted_interest_is_told(loop: Any) -> None:
    """The poller hears of what is watched once per wait, and a host's wait is one."""
    left, right = unix_pair()
    with right:
        connecting = loop.create_task(loop.create_connection(Recorder, sock=left))
        drive(loop, connecting.done)
        transport, protocol = connecting.result()
        transport.pause_reading()
        loop.run_once()
        right.send(b"x")
        loop.backend_timeout()
        assert not is_readable(loop)
        transport.resume_reading()
        loop.backend_timeout()
        assert is_readable(loop)
        drive(loop, lambda: protocol.data)
        loop.backend_timeout()
        transport.close()
        assert is_readable(loop, SOON), "the end of a connection needs an iteration"
        drive(loop, lambda: protocol.lost)


WAKERS: dict[str, Callable[[Any], object]] = {
    "call_soon": lambda loop: loop.call_soon(int),
    "call_later": lambda loop: loop.call_later(0, int),
    "call_at": lambda loop: loop.call_at(0, int),
    "create_task": lambda loop: loop.create_task(asyncio.sleep(0)),
    "call_soon_threadsafe": lambda loop: loop.call_soon_threadsafe(int),
    "thread": lambda loop: threading.Thread(target=loop.call_soon_threadsafe, args=(int,)).start(),
}


@pytest.mark.parametrize("waker", WAKERS)
def test_what_needs_an_iteration_wakes_the_host(loop: Any, waker: str) -> None:
    """While the host waits, and only then."""
    for _ in range(3):
        assert loop.backend_timeout() is None
        assert not is_readable(loop)
        WAKERS[waker](loop)
        assert is_readable(loop, SOON)
        assert loop.backend_timeout() == 0
        while loop.backend_timeout() is not None:
            loop.run_once()
        assert not is_readable(loop)


def test_a_cancelled_task_wakes_the_host(loop: Any) -> None:
    """From the host's own code."""
    task = loop.create_task(asyncio.sleep(3600))
    loop.run_once()
    loop.backend_timeout()
    assert not is_readable(loop)
    task.cancel()
    assert is_readable(loop)
    drive(loop, task.done)
    assert task.cancelled()


def test_an_earlier_timer_wakes_the_host(loop: Any) -> None:
    """The host has to be told to wait for less."""
    far = loop.call_later(3600, int)
    assert loop.backend_timeout() > 3000
    near = loop.call_later(0.001, int)
    assert is_readable(loop)
    loop.run_once()
    assert loop.backend_timeout() <= 0.001
    near.cancel()
    far.cancel()


def test_lookups(loop: Any) -> None:
    """The answer of a native thread wakes the host."""
    task = loop.create_task(loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM))
    drive(loop, task.done)
    assert task.result()


def test_no_wakeup_is_lost(loop: Any) -> None:
    """Between the host's question and its wait, and at any other moment."""
    calls = 3000
    seen: list[int] = []

    def call() -> None:
        for number in range(calls):
            loop.call_soon_threadsafe(seen.append, number)
            if number % 7 == 0:
                time.sleep(0)

    thread = threading.Thread(target=call)
    thread.start()
    drive(loop, lambda: len(seen) == calls)
    thread.join()
    assert seen == list(range(calls))


def test_a_signal_wakes_the_host(loop: Any, dispositions: None) -> None:
    """One with a handler of the loop, whenever it comes."""
    seen: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "signal")
    for count in range(1, 4):
        assert not is_readable(loop)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert is_readable(loop, SOON)
        drive(loop, lambda count=count: len(seen) == count)
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_wait_of_its_own(loop: Any) -> None:
    """At most as long as it was told, for no time if it was told nothing, and an event ends it."""
    started = time.monotonic()
    loop.run_once(0.02)
    assert time.monotonic() - started >= 0.02
    timer = loop.call_later(3600, int)
    before = loop.stats()["waits"]
    loop.run_once()
    assert loop.stats()["waits"] == before
    timer.cancel()
    for timeout in None, 3600, math.inf, 10**400:
        called = threading.Event()
        sender = threading.Timer(0.02, loop.call_soon_threadsafe, args=(called.set,))
        sender.start()
        while not called.is_set():
            loop.run_once(timeout)
        sender.join()
    loop.call_later(0.01, called.clear)
    loop.run_once(SOON)
    assert not called.is_set(), "a timer ends it, too"


@pytest.mark.parametrize("timeout", [-1e-9, -math.inf, math.nan])
def test_timeouts_out_of_range(loop: Any, timeout: float) -> None:
    """Nothing has run."""
    handle = loop.call_soon(pytest.fail)
    with pytest.raises(ValueError, match=f"an iteration waits for 0 seconds or more, got {timeout}"):
        loop.run_once(timeout)
    handle.cancel()


@pytest.mark.parametrize("timeout", ["0", b"1", ()])
def test_no_number(loop: Any, timeout: Any) -> None:
    """Nor with what is not a number."""
    handle = loop.call_soon(pytest.fail)
    with pytest.raises(TypeError):
        loop.run_once(timeout)
    handle.cancel()


def test_one_iteration(loop: Any) -> None:
    """S4.6: what an iteration adds is for the next one."""
    seen: list[int] = []

    def step(number: int) -> None:
        seen.append(number)
        loop.call_soon(step, number + 1)

    loop.call_soon(step, 0)
    for count in range(1, 4):
        assert loop.run_once() is True
        assert seen == list(range(count))
    assert loop.stats()["iterations"] == 3


def test_stop(loop: Any) -> None:
    """Asked for before the iteration or in it; the next one knows nothing of it."""
    loop.call_soon(loop.stop)
    assert loop.run_once(None) is False
    assert loop.run_once() is True
    loop.stop()
    assert loop.run_once(None) is False
    assert loop.run_once() is True


async def letters() -> Any:
    yield "a"


def test_as_in_a_run(loop: Any) -> None:
    """S2: within, the loop is the running one, with its hooks; afterwards all is as before."""
    loop.set_debug(True)
    seen: list[Any] = []

    def look() -> None:
        seen.append(asyncio.get_running_loop())
        seen.append(loop.is_running())
        seen.append(sys.get_coroutine_origin_tracking_depth() > 0)
        seen.append(sys.get_asyncgen_hooks().firstiter == loop._asyncgen_firstiter_hook)

    hooks = sys.get_asyncgen_hooks()
    loop.call_soon(look)
    loop.run_once()
    assert seen == [loop, True, True, True]
    assert asyncio._get_running_loop() is None
    assert not loop.is_running()
    assert sys.get_coroutine_origin_tracking_depth() == 0
    assert sys.get_asyncgen_hooks() == hooks


def test_the_wakeup_descriptor(loop: Any, dispositions: None) -> None:
    """S36: for an iteration that sleeps, as for a run; one that does not leaves it to the host."""
    for timeout, taken in ((0, False), (1, True), (None, True)):
        seen: list[int] = []
        loop.call_soon(lambda seen=seen: seen.append(wakeup_fd()))
        loop.run_once(timeout)
        assert (seen != [-1]) is taken
        assert wakeup_fd() == -1


def test_in_turns_with_runs(loop: Any) -> None:
    """A loop may be driven now and run then."""
    for _ in range(3):
        task = loop.create_task(asyncio.sleep(0.001, "driven"))
        drive(loop, task.done)
        assert task.result() == "driven"
        assert loop.run_until_complete(asyncio.sleep(0.001, "run")) == "run"


def test_closed(new_loop: NewLoop) -> None:
    """S2.23."""
    loop = new_loop()
    loop.close()
    for method in loop.backend_fd, loop.backend_timeout, loop.run_once:
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            method()


def test_running(loop: Any, new_loop: NewLoop) -> None:
    """S2.2: not within itself, by whichever way it runs; nor within a task of another one."""

    async def main() -> None:
        for method in loop.backend_timeout, loop.run_once:
            with pytest.raises(RuntimeError, match="This event loop is already running"):
                method()
        assert asyncio.get_running_loop() is loop
        with pytest.raises(RuntimeError, match="Cannot run an iteration in a task of another event loop"):
            new_loop().run_once()
        assert asyncio.get_running_loop() is loop

    loop.run_until_complete(main())
    task = loop.create_task(main())
    drive(loop, task.done)
    task.result()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_exit_requests(loop: Any, error: type[BaseException]) -> None:
    """S2.20: they leave the iteration; what did not run is run by the next."""

    def leave() -> None:
        raise error

    seen: list[int] = []
    loop.call_soon(leave)
    loop.call_soon(seen.append, 1)
    with pytest.raises(error):
        loop.run_once()
    assert asyncio._get_running_loop() is None
    assert not loop.is_running()
    assert loop.backend_timeout() == 0
    loop.run_once()
    assert seen == [1]


def test_waits_are_counted(loop: Any) -> None:
    """For `loop.stats()` a host's wait is the loop's, however often it asks."""
    before = loop.stats()
    loop.backend_timeout()
    loop.backend_timeout()
    time.sleep(0.02)
    under_way = loop.stats()["idle"]
    assert under_way - before["idle"] >= 0.02
    loop.run_once()
    after = loop.stats()
    assert after["idle"] >= under_way
    assert after["waits"] == before["waits"] + 1
    assert after["iterations"] == before["iterations"] + 1
    assert loop.stats()["idle"] == after["idle"]


def test_work_is_counted(loop: Any) -> None:
    """For `loop.stats()` an iteration is work, and what the host does is not."""
    seconds = 0.0
    for _ in range(3):
        loop.call_soon(time.sleep, 0.02)
        started = time.monotonic()
        loop.run_once()
        seconds += time.monotonic() - started
        time.sleep(0.02)
        assert loop.backend_timeout() is None
    busy = loop.stats()["busy"]
    assert busy["count"] == 3
    assert 0.06 <= busy["sum"] <= seconds
    loop.run_once(0.02)
    assert loop.stats()["busy"]["count"] == 5, "before its wait and after"


def test_watchdog(loop: Any) -> None:
    """Each iteration is watched, and no thread waits with the host."""
    loop.set_watchdog(3600)
    seen: list[bool] = []

    def watched() -> bool:
        return any(thread.name == "ferroloop-watchdog" for thread in threading.enumerate())

    loop.call_soon(lambda: seen.append(watched()))
    loop.run_once()
    assert seen == [True]
    assert not watched()


def test_virtual_clock(loop_class: type) -> None:
    """Time jumps for a host, too."""
    with contextlib.closing(importlib.import_module("ferroloop.testing").VirtualClockLoop()) as loop:
        task = loop.create_task(asyncio.sleep(3600, "slept"))
        started = time.monotonic()
        drive(loop, task.done)
        assert time.monotonic() - started < SOON
        assert loop.time() == 3600


def test_own_clock(loop_class: type) -> None:
    """A loop's own `time` says how long to wait."""

    class Slow(loop_class):
        def time(self) -> float:
            return super().time() / 10

    with contextlib.closing(Slow()) as loop:
        loop.call_later(1, int)
        assert 0 < loop.backend_timeout() <= 1
        started = time.monotonic()
        loop.run_once(0.01)
        assert time.monotonic() - started < 1


def test_an_asyncio_loop_as_host(host: Host) -> None:
    """By its `add_reader` and `call_later`: sleeps, connections, threads, and the loops do not mix."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        await writer.drain()
        writer.close()

    async def main() -> None:
        assert asyncio.get_running_loop() is host.guest
        for _ in range(20):
            started = host.guest.time()
            await asyncio.sleep(0.001)
            assert host.guest.time() - started >= 0.001
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello")
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()
        assert await asyncio.to_thread(lambda: "threaded") == "threaded"

    host.run(main())


def test_an_idle_guest(host: Host) -> None:
    """Nothing happens, so nothing is run."""

    async def main() -> float:
        event = asyncio.Event()
        before = host.guest.stats()["iterations"]
        host.loop.call_later(0.1, event.set)
        await event.wait()
        return host.guest.stats()["iterations"] - before

    assert host.run(main()) <= 3
