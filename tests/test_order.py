"""S4: what one iteration does, in which order."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from support import loops
from support.loops import Loop, Run
from support.net import connection, unix_pair
from support.pipes import reading
from support.scripts import Script
from support.turns import turn, until


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected non-blocking sockets; the first has one byte to read and room to write."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    right.send(b"x")
    with left, right:
        yield left, right


@pytest.fixture
def alarm() -> Iterator[None]:
    """Put SIGALRM's disposition back."""
    old = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, old)


Pair = tuple[socket.socket, socket.socket]


def test_call_soon_is_fifo_and_once(loop: Loop) -> None:
    """S4.9."""
    seen: list[int] = []
    for n in range(1000):
        loop.call_soon(seen.append, n)
    turn(loop, 3)
    assert seen == list(range(1000))


def test_added_handles_wait_for_the_next_iteration(loop: Loop) -> None:
    """S4.6, S4.7."""
    seen: list[str] = []

    def first() -> None:
        seen.append("first")
        loop.call_soon(seen.append, "added")

    loop.call_soon(first)
    loop.call_soon(seen.append, "second")
    turn(loop)
    assert seen == ["first", "second"]
    turn(loop)
    assert seen == ["first", "second", "added"]


def test_cancelled_handles_count_in_the_snapshot(loop: Loop) -> None:
    """S4.6: skipping one does not pull a later handle into this iteration."""
    seen: list[str] = []

    def first() -> None:
        second.cancel()
        loop.call_soon(seen.append, "added")

    loop.call_soon(first)
    second = loop.call_soon(seen.append, "cancelled")
    turn(loop)
    assert seen == []
    turn(loop)
    assert seen == ["added"]


def test_soon_then_io_then_timers(loop: Loop, pair: Pair) -> None:
    """S4.4, S4.5, S4.8."""
    seen: list[str] = []
    loop.call_at(loop.time() - 1, seen.append, "timer")
    loop.add_reader(pair[0], seen.append, "io")
    loop.call_soon(seen.append, "soon")
    turn(loop)
    loop.remove_reader(pair[0])
    assert seen == ["soon", "io", "timer"]


def test_reader_before_writer(loop: Loop, pair: Pair) -> None:
    """S4.4, S7.4."""
    seen: list[str] = []
    loop.add_writer(pair[0], seen.append, "writer")
    loop.add_reader(pair[0], seen.append, "reader")
    turn(loop)
    loop.remove_writer(pair[0])
    loop.remove_reader(pair[0])
    assert seen == ["reader", "writer"]


def test_timers_of_one_iteration_in_order_of_deadline(loop: Loop) -> None:
    """S4.5."""
    seen: list[int] = []
    now = loop.time()
    for n in (3, 1, 4, 5, 2):
        loop.call_at(now - 10 + n, seen.append, n)
    turn(loop)
    assert seen == [1, 2, 3, 4, 5]


def test_io_found_by_the_poll_comes_after_earlier_call_soon(loop: Loop, pair: Pair) -> None:
    """S4.8: but before what callbacks of this iteration add."""
    seen: list[str] = []

    def reader() -> None:
        seen.append("io")
        loop.remove_reader(pair[0])

    def first() -> None:
        seen.append("soon")
        loop.call_soon(seen.append, "added")

    loop.add_reader(pair[0], reader)
    loop.call_soon(first)
    turn(loop, 2)
    assert seen == ["soon", "io", "added"]


def test_reader_removed_in_its_snapshot_does_not_run(loop: Loop, pair: Pair) -> None:
    """S4.10, S7.3."""
    seen: list[str] = []
    loop.add_reader(pair[0], seen.append, "io")
    loop.call_soon(loop.remove_reader, pair[0])
    turn(loop, 3)
    assert seen == []


def test_reader_re_added_in_its_snapshot_waits(loop: Loop, pair: Pair) -> None:
    """S4.11, S7.3: the old event is not given to the new callback."""
    seen: list[str] = []

    def swap() -> None:
        loop.remove_reader(pair[0])
        loop.add_reader(pair[0], seen.append, "new")

    loop.add_reader(pair[0], seen.append, "old")
    loop.call_soon(swap)
    turn(loop)
    assert seen == []
    turn(loop)
    loop.remove_reader(pair[0])
    assert seen == ["new"]


def test_replaced_reader_waits(loop: Loop, pair: Pair) -> None:
    """S4.11, S7.3: the same for adding over an old callback."""
    seen: list[str] = []
    loop.add_reader(pair[0], seen.append, "old")
    loop.call_soon(loop.add_reader, pair[0], seen.append, "new")
    turn(loop)
    assert seen == []
    turn(loop)
    loop.remove_reader(pair[0])
    assert seen == ["new"]


def test_level_triggered_once_per_iteration(loop: Loop, pair: Pair) -> None:
    """S4.12."""
    seen: list[int] = []
    iteration = 0
    loop.add_reader(pair[0], lambda: seen.append(iteration))
    for _ in range(5):
        iteration += 1
        turn(loop)
    loop.remove_reader(pair[0])
    assert seen == [1, 2, 3, 4, 5]


def test_keywords_are_not_for_the_callback(loop: Loop) -> None:
    """S4.13."""
    with pytest.raises(TypeError):
        loop.call_soon(print, end="")
    with pytest.raises(TypeError):
        loop.call_soon()


def test_busy_callback_starves_nobody(loop: Loop, pair: Pair) -> None:
    """S4.14: descriptors and timers get their turn beside a busy chain."""
    seen: set[str] = set()

    def again() -> None:
        if seen != {"io", "timer"}:
            loop.call_soon(again)

    loop.add_reader(pair[0], seen.add, "io")
    loop.call_later(0.005, seen.add, "timer")
    loop.call_soon(again)
    until(loop, lambda: seen == {"io", "timer"})
    loop.remove_reader(pair[0])


# A loop may leave polls out while it is busy with nothing but small callbacks; asyncio leaves out none.
MOST_LEFT_OUT = 63


def turns_until_heard(loop: Loop, happen: Callable[[], object], heard: list[int]) -> int:
    """Let something happen in the middle of a busy chain of callbacks: in how many iterations is it heard of?"""
    chain = iter(range(10_000))
    happened = 0

    def again() -> None:
        nonlocal happened
        number = next(chain)
        if number == 5000:
            happen()
            happened = number
        if heard and not happened:
            raise AssertionError("heard before it happened")
        if heard:
            loop.stop()
            chain_length.append(number)
        else:
            loop.call_soon(again)

    chain_length: list[int] = []
    loop.call_soon(again)
    loop.run_forever()
    return chain_length[0] - happened


def test_a_calm_busy_loop_hears_of_io_soon(loop: Loop) -> None:
    """S4.14: the bound for polls left out, after thousands of iterations without an event."""
    heard: list[int] = []
    left, right = socket.socketpair()
    with left, right:
        loop.add_reader(left, heard.append, 1)
        turns = turns_until_heard(loop, lambda: right.send(b"x"), heard)
        loop.remove_reader(left)
    # The callback runs after the chain's own in the iteration that finds it, so the chain's next one counts it.
    assert turns <= MOST_LEFT_OUT + 2


@pytest.mark.usefixtures("alarm")
def test_a_calm_busy_loop_hears_of_signals_soon(loop: Loop) -> None:
    """S4.14, S36.2: the same for the self-pipe, whose signals take one iteration more."""
    heard: list[int] = []
    loop.add_signal_handler(signal.SIGALRM, heard.append, 1)
    turns = turns_until_heard(loop, lambda: signal.raise_signal(signal.SIGALRM), heard)
    loop.remove_signal_handler(signal.SIGALRM)
    assert turns <= MOST_LEFT_OUT + 3


def test_io_before_a_run_is_heard_of_in_its_first_iteration(loop: Loop) -> None:
    """S4.4: a thousand short runs that found nothing have made no difference."""
    heard: list[int] = []
    left, right = socket.socketpair()
    with left, right:
        loop.add_reader(left, heard.append, 1)
        for _ in range(1000):
            turn(loop)
        right.send(b"x")
        turn(loop)
        loop.remove_reader(left)
    assert heard == [1]


Happen = Callable[[], object]


@contextlib.asynccontextmanager
async def of_a_socket() -> AsyncIterator[Happen]:
    async with connection(pair=unix_pair) as (_, _, peer):
        yield lambda: peer.send(b"x")


@contextlib.asynccontextmanager
async def of_a_pipe() -> AsyncIterator[Happen]:
    async with reading() as (_, _, writer):
        yield lambda: writer.write(b"x")


@contextlib.asynccontextmanager
async def of_a_coroutine() -> AsyncIterator[Happen]:
    left, right = unix_pair()
    with left, right:
        received = asyncio.create_task(asyncio.get_running_loop().sock_recv(left, 1))
        yield lambda: right.send(b"x")
        assert await received == b"x"


@contextlib.asynccontextmanager
async def of_a_callback() -> AsyncIterator[Happen]:
    loop = asyncio.get_running_loop()
    left, right = unix_pair()
    with left, right:
        loop.add_reader(left, left.recv, 1)
        yield lambda: right.send(b"x")
        loop.remove_reader(left)


@pytest.mark.parametrize(
    ("event", "skips"),
    [(of_a_socket, True), (of_a_pipe, False), (of_a_coroutine, False), (of_a_callback, False)],
    ids=["socket", "pipe", "coroutine", "callback"],
)
def test_which_events_put_off_the_next_poll(
    loop: Loop,
    run: Run,
    loop_kind: str,
    event: Callable[[], contextlib.AbstractAsyncContextManager[Happen]],
    skips: bool,
) -> None:
    """S4.4, S4.12: what the transport of a socket has read is dealt with first (docs/differences.md), nothing else."""

    async def main() -> None:
        heard = loop.create_future()
        left, right = unix_pair()
        iterations = 0

        def again() -> None:
            nonlocal iterations
            iterations += 1
            if not heard.done():
                loop.call_soon(again)

        def start() -> None:
            right.send(b"x")
            loop.call_soon(again)

        with left, right:
            async with event() as happen:
                loop.add_reader(left, lambda: heard.done() or heard.set_result(iterations))
                for _ in range(3):
                    await asyncio.sleep(0)
                happen()
                loop.call_soon(start)
                assert await heard == (2 if skips and loop_kind == loops.SUBJECT else 1)
                loop.remove_reader(left)

    run(main())


def test_zero_timeout_with_ready_handles(loop: Loop) -> None:
    """S4.2: ready handles do not wait for a timer."""
    seen: list[float] = []
    loop.call_later(3600, seen.append, 0)
    loop.call_soon(lambda: loop.call_soon(loop.stop))
    started = time.monotonic()
    loop.run_forever()
    assert time.monotonic() - started < 5
    assert seen == []


def test_signal_interrupts_the_poll(loop: Loop, alarm: None) -> None:
    """S4.15, S36.11: a plain Python handler runs while the loop is blocked."""
    seen: list[int] = []

    def handler(number: int, frame: object) -> None:
        seen.append(number)
        loop.call_soon_threadsafe(loop.stop)

    signal.signal(signal.SIGALRM, handler)
    loop.call_later(5, loop.stop)
    started = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    loop.run_forever()
    assert seen == [signal.SIGALRM]
    assert time.monotonic() - started < 5


def test_exception_of_a_signal_handler_leaves_the_queue(loop: Loop, alarm: None) -> None:
    """S4.15."""

    class Alarm(Exception):
        pass

    def ring(*_: object) -> None:
        loop.call_soon(seen.append, "queued by the handler")
        raise Alarm

    seen: list[str] = []
    signal.signal(signal.SIGALRM, ring)
    timer = loop.call_later(30, seen.append, "timer")
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    with pytest.raises(Alarm):
        loop.run_forever()
    assert seen == []
    turn(loop)
    assert seen == ["queued by the handler"]
    timer.cancel()


def test_poll_releases_the_interpreter(loop: Loop) -> None:
    """S4.3, S58.3: other threads run while the loop is blocked in the poll."""
    counted = 0

    def count() -> int:
        nonlocal counted
        end = time.monotonic() + 0.05
        while time.monotonic() < end:
            counted += 1
        return counted

    async def main() -> None:
        await loop.run_in_executor(None, count)

    loop.run_until_complete(main())
    assert counted > 100


def test_native_callbacks_give_way(run_script: Callable[..., Script]) -> None:
    """S58.3: a loop that is busy with native code alone does not keep other threads from running."""
    code = """
        import functools, threading, time

        def stop():
            time.sleep(0.05)
            loop.call_soon_threadsafe(loop.stop)

        loop = new_event_loop()
        again = functools.partial(loop.call_soon)
        again.__setstate__((loop.call_soon, (again,), {}, {}))  # calls itself soon
        loop.call_soon(again)
        threading.Thread(target=stop).start()
        loop.run_forever()
        loop.close()
    """
    run_script(code)


def test_wakes_for_a_pipe(loop: Loop) -> None:
    """S4.3: a blocked poll ends when the fd becomes ready."""
    seen: list[bytes] = []
    reader, writer = os.pipe()

    def ready() -> None:
        seen.append(os.read(reader, 10))
        loop.stop()

    loop.add_reader(reader, ready)
    loop.call_later(0.01, os.write, writer, b"x")
    loop.run_forever()
    loop.remove_reader(reader)
    os.close(reader)
    os.close(writer)
    assert seen == [b"x"]
