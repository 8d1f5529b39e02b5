"""S6: scheduling from other threads and from signal handlers; fork."""

import contextvars
import logging
import signal
import threading
import time
from collections.abc import Callable

import pytest
from support.gates import ferroloop_only, since
from support.log import LogList
from support.loops import Loop, NewLoop
from support.scripts import Script
from support.turns import turn

RunScript = Callable[..., Script]


def ignore(*args: object) -> None:
    """A callback."""


def in_threads(*targets: Callable[[], None]) -> list[threading.Thread]:
    """Start one thread per target."""
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    """Wait for threads, but not for ever."""
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_wakes_a_blocked_loop(loop: Loop) -> None:
    """S6.1."""
    threads: list[threading.Thread] = [threading.Timer(0.02, loop.call_soon_threadsafe, [loop.stop])]
    threads[0].start()
    started = time.monotonic()
    loop.run_forever()
    join(threads)
    assert time.monotonic() - started < 5


def test_runs_in_the_loop_thread_with_context(loop: Loop) -> None:
    """S6.1, S3.3."""
    number: contextvars.ContextVar[int] = contextvars.ContextVar("number")
    seen: list[tuple[int, int]] = []
    context = contextvars.copy_context()
    context.run(number.set, 5)

    def callback(n: int) -> None:
        seen.append((threading.get_ident(), number.get() + n))
        loop.stop()

    threads = in_threads(lambda: loop.call_soon_threadsafe(callback, 1, context=context))
    loop.run_forever()
    join(threads)
    assert seen == [(threading.get_ident(), 6)]


def test_from_a_signal_handler(loop: Loop) -> None:
    """S6.1, S2.11: the way to stop a loop from a plain handler."""
    old = signal.signal(signal.SIGALRM, lambda *_: loop.call_soon_threadsafe(loop.stop))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        started = time.monotonic()
        loop.run_forever()
    finally:
        signal.signal(signal.SIGALRM, old)
    assert time.monotonic() - started < 5


def test_fifo_per_thread(loop: Loop) -> None:
    """S6.2, S6.5: nothing lost, nothing twice, each thread's calls in order."""
    count, names = 3000, ["a", "b", "c"]
    seen: dict[str, list[int]] = {name: [] for name in names}
    done = threading.Barrier(len(names), lambda: loop.call_soon_threadsafe(loop.stop))

    def push(name: str) -> None:
        for n in range(count):
            loop.call_soon_threadsafe(seen[name].append, n)
        done.wait()

    threads = in_threads(*(lambda name=name: push(name) for name in names))
    loop.run_forever()
    join(threads)
    assert seen == {name: list(range(count)) for name in names}


def test_no_wakeup_is_lost(loop: Loop) -> None:
    """S6.1, S6.5: one call at a time against a loop that goes to sleep in between."""
    rounds = 2000
    ran = threading.Event()
    lost: list[int] = []

    def push() -> None:
        for n in range(rounds):
            ran.clear()
            loop.call_soon_threadsafe(ran.set)
            if not ran.wait(5):
                lost.append(n)
                break
        loop.call_soon_threadsafe(loop.stop)

    threads = in_threads(push)
    loop.call_later(60, loop.stop)
    loop.run_forever()
    join(threads)
    assert lost == []


def test_fifo_with_call_soon(loop: Loop) -> None:
    """S6.2, S6.6: in the loop thread both share one queue."""
    seen: list[int] = []

    def main() -> None:
        for n in range(0, 10, 2):
            loop.call_soon(seen.append, n)
            loop.call_soon_threadsafe(seen.append, n + 1)

    loop.call_soon(main)
    turn(loop, 2)
    assert seen == list(range(10))


@pytest.mark.parametrize("count", [1, 100_000])
def test_without_a_run_it_waits_for_one(loop: Loop, count: int) -> None:
    """S6.5, S6.7: however full the wakeup channel is."""
    seen: list[int] = []
    for n in range(count):
        loop.call_soon_threadsafe(seen.append, n)
    turn(loop)
    assert seen == list(range(count))


def test_own_wakeups_cost_one_poll(loop: Loop) -> None:
    """S6.6: the loop goes to sleep again after calls of its own."""
    readings = 0
    for _ in range(1000):
        loop.call_soon_threadsafe(ignore)
    turn(loop)

    def again() -> None:
        nonlocal readings
        readings += 1
        if readings < 3:
            loop.call_later(0.05, again)
        else:
            loop.stop()

    loop.call_soon(again)
    cpu = time.thread_time()
    loop.run_forever()
    assert time.thread_time() - cpu < 0.05
    assert readings == 3


def test_closing_races_with_calls(new_loop: NewLoop, logged: LogList) -> None:
    """S6.3: RuntimeError or nothing; never OSError, never a stray byte."""
    surprises: list[BaseException] = []

    def push(loop: Loop) -> None:
        try:
            while True:
                loop.call_soon_threadsafe(ignore)
        except RuntimeError as exc:
            if str(exc) != "Event loop is closed":
                surprises.append(exc)
        except BaseException as exc:
            surprises.append(exc)

    for _ in range(20):
        loop = new_loop()
        threads = in_threads(*[lambda loop=loop: push(loop)] * 2)
        turn(loop)
        loop.close()
        join(threads)
    assert surprises == []
    assert logged.texts(logging.ERROR) == []


def test_thread_is_not_checked_in_debug_mode(loop: Loop) -> None:
    """S6.8: but the callback is."""
    loop.set_debug(True)
    caught: list[str] = []

    def in_thread() -> None:
        try:
            loop.call_soon_threadsafe(3)
        except TypeError as exc:
            caught.append(str(exc))
        loop.call_soon_threadsafe(loop.stop)

    threads = in_threads(in_thread)
    loop.run_forever()
    join(threads)
    assert caught == ["a callable object was expected by call_soon_threadsafe(), got 3"]


FORK = """
import asyncio, os, signal, socket, sys
signal.alarm(20)
loop = new_event_loop()
left, right = socket.socketpair()

def in_child(work):
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_running_the_inherited_loop(run_script: RunScript) -> None:
    """S6.9: what ends in the child ends for it, and what is left readable does not keep it busy."""
    run_script(
        FORK
        + """
import time
left.setblocking(False)
loop.add_reader(left, print)
loop.remove_reader(left)

async def main():
    for _ in range(100):
        ready = loop.create_future()
        loop.add_reader(left, ready.set_result, None)
        right.send(b"x")
        await ready
        loop.remove_reader(left)
        assert left.recv(10) == b"x"
        near, far = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=near)
        far.send(b"y")
        far.close()
        assert await reader.read() == b"y"
        writer.close()
        await writer.wait_closed()
    right.send(b"nobody reads this")
    cpu = time.thread_time()
    await asyncio.sleep(0.3)
    assert time.thread_time() - cpu < 0.1

in_child(lambda: loop.run_until_complete(main()))
loop.close()
"""
    )


def test_dropping_what_was_inherited(run_script: RunScript) -> None:
    """S6.9: a finalizer in the child does not take the parent's connection out of the poller they share."""
    run_script(
        FORK
        + """
import gc

class Listening(asyncio.Protocol):
    def data_received(self, data):
        loop.stop()

loop.run_until_complete(loop.create_connection(Listening, sock=left))
asyncio.set_event_loop(None)

def drop():
    global loop, left, Listening
    del loop, left, Listening
    gc.collect()

in_child(drop)
right.send(b"x")
loop.run_forever()
""",
        "-W",
        "ignore",
    )


@ferroloop_only("asyncio deregisters its fds from the epoll it shares with the parent", "S6.9")
def test_closing_the_inherited_loop(run_script: RunScript) -> None:
    """S6.9: the parent's readers and wakeups go on working."""
    run_script(
        FORK
        + """
loop.add_reader(left, loop.stop)
in_child(loop.close)
right.send(b"x")
loop.run_forever()
loop.remove_reader(left)
import threading
threading.Timer(0.05, loop.call_soon_threadsafe, [loop.stop]).start()
loop.run_forever()
loop.close()
"""
    )


@ferroloop_only("asyncio deregisters its fds from the epoll it shares with the parent", "S6.9")
def test_removing_in_the_child(run_script: RunScript) -> None:
    """S6.9: nor may a finaliser in the child reach into the parent's poller."""
    run_script(
        FORK
        + """
loop.add_reader(left, loop.stop)
def work():
    global loop
    import gc, warnings
    warnings.simplefilter("ignore")
    del loop
    gc.collect()
in_child(work)
right.send(b"x")
loop.run_forever()
loop.close()
"""
    )


@since(3, 12)
def test_child_has_no_running_loop(run_script: RunScript) -> None:
    """S6.10."""
    run_script(
        FORK
        + """
loop.add_signal_handler(signal.SIGUSR1, print)
def work():
    assert asyncio._get_running_loop() is None
    assert signal.set_wakeup_fd(-1) == -1
async def main():
    in_child(work)
loop.run_until_complete(main())
loop.close()
"""
    )


def test_new_loop_in_the_child(run_script: RunScript) -> None:
    """S6.9, S55.3: fork inside a running loop, run another one in the child."""
    run_script(
        FORK
        + """
def work():
    asyncio._set_running_loop(None)
    loop = new_event_loop()
    assert loop.run_until_complete(asyncio.sleep(0.01, 5)) == 5
    loop.close()
async def main():
    in_child(work)
    return await asyncio.sleep(0.01, 6)
assert loop.run_until_complete(main()) == 6
loop.close()
"""
    )
