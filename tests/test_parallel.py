"""S58.1: several threads at once, with a GIL and, where Python has none, without."""

import asyncio
import gc
import io
import logging
import socket
import ssl
import threading
import time
from asyncio.log import logger
from collections.abc import Callable
from types import NoneType
from typing import Any

import pytest
from support import certificates
from support.gates import FREE_THREADED, ferroloop_only
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


class Echo(asyncio.Protocol):
    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@ferroloop_only("is not woken, and calls OpenSSL in both threads", "S58.1")
@pytest.mark.parametrize("tls", [False, True])
def test_closed_by_another_thread(loop: Loop, tls: bool) -> None:
    """S16.14, S22.1, S58.1: as by a StreamWriter that the collector finds there; a connection at work ends."""
    own, peers = (certificates.server_context(), certificates.client_context()) if tls else (None, None)

    async def main() -> int:
        closed = 0
        end = loop.time() + SECONDS
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=own)
        async with server:
            address = server.sockets[0].getsockname()[:2]
            while loop.time() < end:
                name = certificates.HOST if tls else None
                transport, echo = await loop.create_connection(Echo, *address, ssl=peers, server_hostname=name)
                for _ in range(3):
                    transport.write(bytes(3000))
                await asyncio.sleep(0.0001 * (closed % 10))
                await asyncio.to_thread(transport.close)
                # The peer's own goodbye may be too late for OpenSSL.
                assert isinstance(await asyncio.wait_for(echo.lost, 10), ssl.SSLError | None if tls else NoneType)
                closed += 1
        return closed

    assert loop.run_until_complete(main()) > 0


@ferroloop_only("has no such lines", "S58.1")
def test_task_at_work_seen_from_another_thread(loop: Any) -> None:
    """S58.1: by its repr, or without a GIL by what needs no look at a frame that runs."""

    async def look() -> str:
        text = io.StringIO()
        thread = threading.Thread(target=loop.dump, args=[text])
        thread.start()
        thread.join()
        return text.getvalue()

    (line,) = [line for line in loop.run_until_complete(look()).splitlines() if line.startswith("task ")]
    assert ".look() running at " in line or (FREE_THREADED and line.endswith(".look()>>"))
    assert "<Task " in line


@ferroloop_only("does not say that a loop starts", "S2.1")
def test_closed_just_as_it_begins_to_run(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    """S2.1, S58.1: as another thread may."""
    raised: list[Exception] = []

    class Closer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            loop.close()

    def run() -> None:
        try:
            loop.run_forever()
        except Exception as exc:
            raised.append(exc)

    logger.addHandler(closer := Closer())
    try:
        with caplog.at_level(logging.DEBUG, "asyncio"):
            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            thread.join(10)
    finally:
        logger.removeHandler(closer)
    assert [str(exc) for exc in raised] == ["Event loop is closed"]
    assert not loop.is_running()


@ferroloop_only("is not looked at in this child", "S58.1")
def test_a_child_forked_in_the_middle_of_calls(run_script: Callable[..., Any]) -> None:
    """S58.1: other threads, which it does not have, have left nothing locked."""
    program = """
        import os, signal, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        def call():
            while not over:
                loop.call_soon_threadsafe(int)

        over = False
        loop = new_event_loop()
        threads = [threading.Thread(target=loop.run_forever), *(threading.Thread(target=call) for _ in range(4))]
        for thread in threads:
            thread.start()
        for _ in range(20):
            if (child := os.fork()) == 0:
                signal.alarm(10)
                loop.stats()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        over = True
        loop.call_soon_threadsafe(loop.stop)
        for thread in threads:
            thread.join()
        loop.close()
        print("over")
    """
    assert run_script(program).out == "over\n"
