"""S58.1: several threads at once, with a GIL and, where Python has none, without."""

import asyncio
import gc
import io
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.loops import Loop, NewLoop
from support.net import eventually, unix_pair

# For how long threads get in each other's way.
SECONDS = 0.3


class Repeated:
    """Threads that take their steps over and over until the block ends; raises what the first of them raises."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.over = threading.Event()
        self.errors: list[BaseException] = []
        self.threads = [threading.Thread(target=self.repeat, args=[step]) for step in steps]

    def repeat(self, step: Callable[[], object]) -> None:
        try:
            while not self.over.is_set():
                step()
        except BaseException as exc:
            self.errors.append(exc)

    def __enter__(self) -> None:
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        if self.errors:
            raise self.errors[0]


def collect() -> None:
    """Without a GIL all threads stop for it, so not all of the time."""
    gc.collect()
    time.sleep(0.005)


async def work(seconds: float) -> int:
    """Connections, timers, tasks and lookups; returns how many rounds there were."""
    loop = asyncio.get_running_loop()
    echoes: list[asyncio.Task[None] | None] = []
    rounds = 0

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        echoes.append(asyncio.current_task())
        while data := await reader.read(100):
            writer.write(data)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        end = loop.time() + seconds
        while loop.time() < end:
            reader, writer = await asyncio.open_connection("localhost", server.sockets[0].getsockname()[1])
            for n in range(10):
                writer.write(bytes([n]))
                assert await reader.readexactly(1) == bytes([n])
            handle = loop.call_later(10, print)
            await asyncio.gather(*(asyncio.sleep(0.0001 * n) for n in range(5)))
            handle.cancel()
            writer.close()
            await writer.wait_closed()
            rounds += 1
        await eventually(lambda: all(task is not None and task.done() for task in echoes))
    return rounds


def test_loops_side_by_side(new_loop: NewLoop) -> None:
    """S58.1: each thread's loop is its own, while the collector goes through all of them."""
    loops = [new_loop() for _ in range(4)]
    rounds: list[int] = []
    threads = [
        threading.Thread(target=lambda loop=loop: rounds.append(loop.run_until_complete(work(SECONDS))))
        for loop in loops
    ]
    with Repeated(collect):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(rounds) == len(loops)
    assert min(rounds) > 0


def test_calls_from_all_sides(loop: Loop) -> None:
    """S6.1, S58.1: none is lost and none runs twice, whatever becomes of others."""
    count = 3000
    ran: list[int] = []
    ahead = threading.Semaphore(100)  # no thread leaves the loop far behind

    def run(n: int) -> None:
        ran.append(n)
        ahead.release()

    def call(n: int) -> None:
        for _ in range(count):
            assert ahead.acquire(timeout=20)
            loop.call_soon_threadsafe(run, n)
            loop.call_soon_threadsafe(len, ()).cancel()

    threads = [threading.Thread(target=call, args=[n]) for n in range(3)]
    for thread in threads:
        thread.start()
    while len(ran) < 3 * count:
        loop.run_until_complete(work(0.01))
    for thread in threads:
        thread.join(20)
    assert [ran.count(n) for n in range(3)] == [count] * 3


@ferroloop_only("has no such numbers", "S58.1")
def test_looked_at_while_at_work(loop: Any) -> None:
    """S58.1: `stats` and `dump` from other threads."""
    before = loop.stats()["callbacks"]

    def look() -> None:
        stats = loop.stats()
        assert stats["iterations"] <= stats["callbacks"] + stats["waits"] + 1
        loop.dump(io.StringIO())

    with Repeated(look, look):
        loop.run_until_complete(work(SECONDS))
    assert loop.stats()["callbacks"] > before


@pytest.mark.filterwarnings("ignore:unclosed")
def test_transports_that_die_in_another_thread(loop: Loop) -> None:
    """S16.17, S58.1: nobody has closed them; the collector finds them, in whatever thread it runs."""
    ended: list[bytes] = []

    class Protocol(asyncio.Protocol):
        """One that knows its transport, which knows it."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: Any = transport
            self.transport.pause_reading()  # else the loop needs it

    async def drop() -> None:
        end = loop.time() + SECONDS
        while loop.time() < end:
            left, right = unix_pair()
            await loop.create_connection(Protocol, sock=left)
            peers.append(right)
            await asyncio.sleep(0)

    peers: list[socket.socket] = []
    with Repeated(collect):
        loop.run_until_complete(drop())
    gc.collect()
    for peer in peers:
        peer.settimeout(10)
        ended.append(peer.recv(1))
        peer.close()
    assert set(ended) == {b""}
