"""Nothing a user's code does may lose work, kill the loop or abort the process."""

import asyncio
import contextlib
import random
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.fds import open_fds
from support.gates import ferroloop_only, glibc_heap
from support.loops import Loop, Run
from support.net import connection, eventually, receive_all, reset, tcp_pair, unix_pair
from support.protocols import Recorder
from support.scripts import Script
from support.turns import turn

Errors = list[dict[str, Any]]


class Odd(BaseException):
    """Neither an Exception nor an exit request."""


CALLS = [
    "connection_made",
    "data_received",
    "eof_received",
    "pause_writing",
    "resume_writing",
    "connection_lost",
]
RAISED = [
    ValueError,
    OSError,
    Odd,
    GeneratorExit,
    asyncio.CancelledError,
    StopIteration,
    MemoryError,
    RecursionError,
    KeyboardInterrupt,
    SystemExit,
]


def raising(method: str, kind: type[BaseException]) -> type[Recorder]:
    """A recorder that raises in one method."""

    def fail(self: Recorder, *args: Any) -> None:
        getattr(Recorder, method)(self, *args)
        raise kind

    return type("Raising", (Recorder,), {method: fail})


def exchange(loop: Loop, make: Callable[[], Recorder]) -> Recorder:
    """A connection that sees data, pressure, eof and its end; exit requests do not stop it."""
    left, right = unix_pair()
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(make())
        return made[-1]

    async def main() -> None:
        transport, _ = await loop.create_connection(factory, sock=left)
        await asyncio.sleep(0)
        if not transport.is_closing():
            transport.write(bytes(1 << 20))
        right.send(b"data")
        await asyncio.sleep(0.001)
        right.shutdown(socket.SHUT_WR)
        for _ in range(50):
            with contextlib.suppress(BlockingIOError):
                right.recv(1 << 20)
            await asyncio.sleep(0)

    async def end() -> None:
        if not made[0].lost:
            made[0].transport.abort()
        await eventually(lambda: made[0].lost)

    drive(loop, main())
    drive(loop, end())
    right.close()
    return made[0]


def drive(loop: Loop, coro: Coroutine[Any, Any, None]) -> None:
    """Let the coroutine end, however many exit requests leave the loop meanwhile."""
    task = loop.create_task(coro)
    give_up = loop.time() + 10
    while not task.done():
        assert loop.time() < give_up
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            turn(loop)
    task.result()


# An exit request of pause_writing leaves write() (test_flow_control), not the run.
CASES = [
    (method, kind)
    for method in CALLS
    for kind in RAISED
    if method != "pause_writing" or kind not in (KeyboardInterrupt, SystemExit)
]


@pytest.mark.parametrize(("method", "kind"), CASES)
def test_protocols_that_raise(loop: Loop, errors: Errors, method: str, kind: type[BaseException]) -> None:
    """S16.9, S17.5, S0.11: anything, anywhere; connection_lost comes once, the loop lives."""
    protocol = exchange(loop, raising(method, kind))
    assert len(protocol.lost) == 1
    assert loop.run_until_complete(asyncio.sleep(0.001, "alive")) == "alive"


def test_failing_exception_handler(loop: Loop, logged: Any) -> None:
    """S9.5, S9.14: all the way down."""

    def handler(*args: object) -> None:
        raise Odd

    loop.set_exception_handler(handler)
    protocol = exchange(loop, raising("data_received", ValueError))
    assert len(protocol.lost) == 1


@ferroloop_only("asyncio counts on a protocol there", "A2")
def test_calls_after_the_end(loop: Loop, run: Run) -> None:
    """S16.18, S16.21: every method of a transport that is gone answers without an exception."""

    async def main() -> None:
        async with connection() as (transport, protocol, _):
            transport.abort()
            await eventually(lambda: protocol.lost)
            transport.write(b"x")
            transport.writelines([b"x"])
            transport.write_eof()
            transport.pause_reading()
            transport.resume_reading()
            transport.set_write_buffer_limits(5)
            transport.set_protocol(asyncio.Protocol())
            transport.close()
            transport.abort()
            assert transport.get_write_buffer_size() == 0
            assert transport.is_closing()
            assert not transport.is_reading()
            repr(transport)
        await asyncio.sleep(0.001)
        assert protocol.lost == [None]

    run(main())


def test_everything_inside_every_callback(loop: Loop, run: Run) -> None:
    """S16.21, S17.6: the transport is driven from inside all of its callbacks."""

    class Wild(Recorder):
        def drive(self) -> None:
            chance = random.Random(len(self.events))
            for _ in range(3):
                name = chance.choice(["pause_reading", "resume_reading", "write", "write", "get_write_buffer_size"])
                args = [bytes(chance.randrange(100_000))] if name == "write" else []
                getattr(self.transport, name)(*args)

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.drive()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.drive()

        def pause_writing(self) -> None:
            super().pause_writing()
            if len(self.events) < 100:
                self.drive()

        def resume_writing(self) -> None:
            super().resume_writing()
            if len(self.events) < 100:
                self.drive()

        def connection_lost(self, exc: BaseException | None) -> None:
            super().connection_lost(exc)
            self.drive()

    async def main() -> None:
        async with connection(Wild, unix_pair) as (transport, protocol, peer):
            for _ in range(50):
                peer.send(b"x")
                try:
                    while peer.recv(1 << 20):
                        pass
                except BlockingIOError:
                    await asyncio.sleep(0)
            transport.close()
            with contextlib.suppress(ConnectionResetError):  # it had not read everything
                await receive_all(peer)
            await eventually(lambda: protocol.lost)
            assert len(protocol.lost) == 1

    run(main())


def test_connections_that_come_and_go_badly(loop: Loop, run: Run, errors: Errors) -> None:
    """S9.14, S16.21: resets and raising callbacks at random; survivors lose no byte."""
    chance = random.Random(42)
    payload = bytes(range(256)) * 400

    class Shaky(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(data)
            if self.data.startswith(b"R") and chance.random() < 0.5:
                raise chance.choice([ValueError, Odd, asyncio.CancelledError])

        def connection_lost(self, exc: BaseException | None) -> None:
            super().connection_lost(exc)
            ended.append(self)
            self.transport = None
            if chance.random() < 0.1:
                raise Odd

    ended: list[Shaky] = []

    async def client(address: Any, n: int) -> None:
        peer = socket.create_connection(address)
        peer.setblocking(False)
        kind = b"S" if n % 2 else b"R"
        view, answer = memoryview(kind + payload), bytearray()
        try:
            while len(answer) < len(payload) + 1:
                if kind == b"R" and chance.random() < 0.2:
                    reset(peer)
                    return
                try:
                    view = view[peer.send(view[:50_000]) :] if view else view
                    piece = peer.recv(1 << 16)
                    assert piece
                    answer += piece
                except BlockingIOError:
                    await asyncio.sleep(0)
        except (ConnectionError, AssertionError):
            assert kind == b"R"
        else:
            assert answer == kind + payload
        finally:
            peer.close()

    async def main() -> None:
        server = await loop.create_server(Shaky, "127.0.0.1", 0)
        await asyncio.sleep(0)
        before = open_fds()
        address = server.sockets[0].getsockname()
        for _ in range(6):
            await asyncio.gather(*(client(address, n) for n in range(50)))
        await eventually(lambda: len(ended) >= 150)
        await eventually(lambda: open_fds() == before)
        server.close()
        assert all(len(protocol.lost) == 1 for protocol in ended)

    run(main(), 30)
    allowed = {"ValueError", "Odd", "CancelledError"}
    assert {type(context["exception"]).__name__ for context in errors} <= allowed
    assert errors


@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
def test_stop_inside_protocol_calls(loop: Loop, pair: Any) -> None:
    """S2.8: the run ends after the iteration, the connection goes on in the next run."""

    class Stopping(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            loop.stop()

    left, right = pair()
    transport, protocol = loop.run_until_complete(loop.create_connection(Stopping, sock=left))
    for n in range(3):
        right.send(b"x")
        loop.run_forever()
        assert len(protocol.data) == n + 1
    transport.abort()
    turn(loop)
    right.close()


@ferroloop_only("3.13.0 cleans up after a refused run", "S2.4", sys.version_info[:3] == (3, 13, 0))
def test_nested_runs_are_refused_everywhere(loop: Loop, run: Run, errors: Errors) -> None:
    """S2.3, S2.4: from a protocol call, and the loop goes on."""

    class Nesting(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            with pytest.raises(RuntimeError, match="already running"):
                loop.run_forever()
            with pytest.raises(RuntimeError, match="Cannot close a running event loop"):
                loop.close()

    async def main() -> None:
        async with connection(Nesting) as (_, protocol, peer):
            peer.send(b"x")
            await eventually(lambda: protocol.data)
            peer.send(b"y")
            await eventually(lambda: protocol.data == b"xy")

    run(main())
    assert errors == []


def test_deep_recursion(loop: Loop) -> None:
    """S3.10: running out of stack in a callback is an exception like others."""
    reported: list[type[BaseException]] = []
    loop.set_exception_handler(lambda _, context: reported.append(type(context["exception"])))

    def recurse() -> None:
        recurse()

    loop.call_soon(recurse)
    loop.call_later(0, recurse)
    loop.run_until_complete(asyncio.sleep(0.005))
    assert reported == [RecursionError, RecursionError]


@glibc_heap
def test_no_memory_for_what_is_received(run_script: Callable[..., Script]) -> None:
    """S16.5: a connection is lost by it, and no more."""
    code = """
        import asyncio, resource, socket

        class Greedy(asyncio.Protocol):
            kept = []

            def data_received(self, data):
                self.kept.append(data)

            def connection_lost(self, exc):
                self.kept.clear()
                lost.set_result(exc)

        async def feed(sock):
            while not lost.done():
                await loop.sock_sendall(sock, bytes(1000))

        async def main():
            left, right = socket.socketpair()
            right.setblocking(False)
            await loop.create_connection(Greedy, sock=left)
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20), resource.RLIM_INFINITY))
            feeding = asyncio.create_task(feed(right))
            print(repr(await lost))
            feeding.cancel()

        loop = new_event_loop()
        loop.set_exception_handler(lambda _, context: None)
        lost = loop.create_future()
        loop.run_until_complete(main())
        loop.close()
    """
    assert run_script(code).out == "MemoryError()\n"


@glibc_heap
@ferroloop_only("asyncio copies it after the send, if at all", spec="S16.15")
@pytest.mark.parametrize("kind", ["bytearray", "memoryview", "type('Derived', (bytes,), {})"])
def test_no_memory_for_what_is_written(run_script: Callable[..., Script], kind: str) -> None:
    """A MemoryError, and the connection lives on."""
    code = f"""
        import asyncio, resource, socket

        async def main():
            left, right = socket.socketpair()
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
            data = {kind}(bytes(256 << 20))
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
            try:
                transport.write(data)
            except MemoryError:
                transport.write(b"alive")
                await asyncio.sleep(0)
                print(right.recv(100))
            transport.abort()

        loop = new_event_loop()
        loop.run_until_complete(main())
        loop.close()
    """
    assert run_script(code).out == "b'alive'\n"
