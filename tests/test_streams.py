"""S57: asyncio's own streams over our transports."""

import asyncio
import gc
import socket
import sys
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.gates import since
from support.loops import Loop, Run
from support.net import eventually, receive_all, tcp_pair
from support.unclosed import unclosed

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
DATA = bytes(range(256)) * 4096


async def served(
    handler: Callable[[Reader, Writer], Awaitable[None]],
    client: Callable[[Reader, Writer], Awaitable[Any]],
) -> Any:
    """Run a client against a server whose connections run the handler."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        result = await client(reader, writer)
        writer.close()
        await writer.wait_closed()
    return result


async def echo(reader: Reader, writer: Writer) -> None:
    """Send everything back, then close."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


def test_stdlib_classes(loop: Loop, run: Run) -> None:
    """S57.1: nothing is replaced."""

    async def client(reader: Reader, writer: Writer) -> None:
        assert type(reader) is asyncio.StreamReader
        assert type(writer) is asyncio.StreamWriter
        assert type(writer.transport.get_protocol()) is asyncio.StreamReaderProtocol

    run(served(echo, client))


def test_echo(loop: Loop, run: Run) -> None:
    """S57.1: a megabyte both ways, with drain and write_eof."""

    async def client(reader: Reader, writer: Writer) -> bytes:
        async def feed() -> None:
            for start in range(0, len(DATA), 10_000):
                writer.write(DATA[start : start + 10_000])
                await writer.drain()
            writer.write_eof()

        feeder = asyncio.ensure_future(feed())
        data = await reader.read()
        await feeder
        return data

    assert run(served(echo, client)) == DATA


def test_reading_methods(loop: Loop, run: Run) -> None:
    """S57.1."""

    async def handler(reader: Reader, writer: Writer) -> None:
        for piece in (b"line one\nli", b"ne two\n", b"exact", b"upto|", b"rest"):
            writer.write(piece)
            await asyncio.sleep(0.001)
        writer.close()

    async def client(reader: Reader, writer: Writer) -> list[bytes]:
        return [
            await reader.readline(),
            await reader.readline(),
            await reader.readexactly(5),
            await reader.readuntil(b"|"),
            await reader.read(),
            await reader.read(),
        ]

    lines = [b"line one\n", b"line two\n", b"exact", b"upto|", b"rest", b""]
    assert run(served(handler, client)) == lines


def test_incomplete_read(loop: Loop, run: Run) -> None:
    """S57.1."""

    async def handler(reader: Reader, writer: Writer) -> None:
        writer.write(b"abc")
        writer.close()

    async def client(reader: Reader, writer: Writer) -> bytes:
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await reader.readexactly(10)
        return caught.value.partial

    assert run(served(handler, client)) == b"abc"


def test_limit_pauses_reading(loop: Loop, run: Run) -> None:
    """S16.24: a reader nobody reads from stops the transport, and resumes it."""
    left, right = tcp_pair()

    async def main() -> None:
        reader, writer = await asyncio.open_connection(sock=left, limit=1000)
        sent = 0
        right.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        for _ in range(100):
            try:
                sent += right.send(bytes(10_000))
            except BlockingIOError:
                await asyncio.sleep(0)
        transport: Any = writer.transport
        await eventually(lambda: not transport.is_reading())
        data = await reader.readexactly(sent)
        assert len(data) == sent
        assert transport.is_reading()
        writer.close()
        await writer.wait_closed()

    run(main())
    right.close()


def test_connection_errors_reach_the_reader(loop: Loop, run: Run) -> None:
    """S16.10."""

    async def handler(reader: Reader, writer: Writer) -> None:
        writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async def main() -> None:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()
        server.close()

    run(main())


def test_writing_to_a_closed_peer(loop: Loop, run: Run) -> None:
    """S16.18: drain raises, write never does."""
    left, right = tcp_pair()

    async def main() -> None:
        reader, writer = await asyncio.open_connection(sock=left)
        right.close()
        assert await reader.read() == b""
        for _ in range(3):
            writer.write(b"x")
        await asyncio.sleep(0.01)
        with pytest.raises(ConnectionError):
            await write_for_ever(writer)
        writer.close()

    run(main())


async def write_for_ever(writer: Writer) -> None:
    """Until it fails."""
    while True:
        writer.write(b"x")
        await writer.drain()


def test_writer_helpers(loop: Loop, run: Run) -> None:
    """S57.1: writelines, can_write_eof, is_closing, get_extra_info."""

    async def client(reader: Reader, writer: Writer) -> bytes:
        assert writer.can_write_eof()
        assert not writer.is_closing()
        assert writer.get_extra_info("peername")[0] == "127.0.0.1"
        writer.writelines([b"a", b"b", b"c"])
        writer.write_eof()
        return await reader.read()

    assert run(served(echo, client)) == b"abc"


def test_failing_handler(loop: Loop, run: Run, errors: list[dict[str, Any]]) -> None:
    """S9.14: reported; the connection is closed from 3.12 on."""

    async def handler(reader: Reader, writer: Writer) -> None:
        try:
            raise ZeroDivisionError
        finally:
            if sys.version_info < (3, 12):
                writer.close()

    async def client(reader: Reader, writer: Writer) -> bytes:
        return await reader.read()

    assert run(served(handler, client)) == b""
    run(asyncio.sleep(0.001))
    gc.collect()
    assert [type(context["exception"]) for context in errors] == [ZeroDivisionError]


@since(3, 13)
def test_dropped_writer(loop: Loop, run: Run) -> None:
    """S57.3: a ResourceWarning, and the peer sees the end."""
    left, right = tcp_pair()

    async def main() -> None:
        _, writer = await asyncio.open_connection(sock=left)
        with unclosed("unclosed <StreamWriter", source=False):
            del writer, _
        assert await receive_all(right) == b""

    run(main())
    right.close()


def test_nothing_is_kept_after_close(loop: Loop, run: Run) -> None:
    """S57.3, S16.22."""
    left, right = tcp_pair()

    async def main() -> list[Any]:
        reader, writer = await asyncio.open_connection(sock=left)
        refs = [weakref.ref(thing) for thing in (reader, writer, writer.transport)]
        writer.close()
        await writer.wait_closed()
        return refs

    refs = run(main())
    gc.collect()
    right.close()
    assert [ref() for ref in refs] == [None, None, None]


def test_many_clients(loop: Loop, run: Run) -> None:
    """S57.1: each gets its own bytes back."""

    async def client(port: int, n: int) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        data = bytes([n]) * (n * 1000 + 1)
        writer.write(data)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer == data

    async def main() -> list[bool]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.gather(*(client(port, n) for n in range(50)))

    assert all(run(main()))
