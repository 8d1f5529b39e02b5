"""S18, S19, S20, S29 with TLS: servers, and what they report."""

import asyncio
import contextlib
import logging
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from support.certificates import HOST, client_context, server_context, stranger_context
from support.gates import since
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually, reset, tcp_pair
from support.protocols import Recorder
from support.tls import Peer

pytestmark = pytest.mark.tls_engines


class Greeter(Recorder):
    """Says hello, remembers its connections."""

    made: "list[Greeter]"

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.made.append(self)
        transport.write(b"hello")


@pytest.fixture
def greeter() -> type[Greeter]:
    """A protocol class whose `made` is this test's own."""
    return type("Greeter", (Greeter,), {"made": []})


async def connect(loop: Loop, address: Any, context: ssl.SSLContext | None = None) -> tuple[Any, Recorder]:
    """Connect with TLS to a TCP or Unix address."""
    context = context or client_context()
    if isinstance(address, str):
        return await loop.create_unix_connection(Recorder, address, ssl=context, server_hostname=HOST)
    return await loop.create_connection(Recorder, *address, ssl=context, server_hostname=HOST)


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_serve(run: Run, loop: Loop, greeter: type[Greeter], family: str, tmp_path: Path) -> None:
    """S18, S28, S29: both sides through the recipes; closing the client is a clean end for the server."""

    async def main() -> None:
        context = server_context()
        if family == "tcp":
            server = await loop.create_server(greeter, "127.0.0.1", 0, ssl=context)
            address = server.sockets[0].getsockname()
        else:
            address = str(tmp_path / "s")
            server = await loop.create_unix_server(greeter, address, ssl=context)
        assert server._ssl_context is context
        transport, protocol = await connect(loop, address)
        await eventually(lambda: protocol.data == b"hello")
        transport.close()
        await eventually(lambda: protocol.lost == [None] and greeter.made[0].lost == [None])
        assert greeter.made[0].names == ["made", "eof", "lost"]
        server.close()
        await server.wait_closed()

    run(main())


def test_streams(run: Run) -> None:
    """S57: start_server and open_connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(100_000))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context())
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), ssl=client_context(), server_hostname=HOST
        )
        writer.write(b"x" * 100_000)
        assert await reader.readexactly(100_000) == b"x" * 100_000
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("peer", ["hangs up", "talks HTTP", "does not trust us"])
def test_failed_handshake(
    run: Run, loop: Loop, greeter: type[Greeter], errors: list[dict[str, Any]], logged: LogList, debug: bool, peer: str
) -> None:
    """S20.5, S22.10: the report of a connection that never came to be, in debug mode only."""
    loop.set_debug(debug)

    async def main() -> None:
        server = await loop.create_server(greeter, "127.0.0.1", 0, ssl=server_context())
        address = server.sockets[0].getsockname()
        if peer == "does not trust us":
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(loop, address, stranger_context())
        else:
            with socket.create_connection(address) as sock:
                if peer == "talks HTTP":
                    sock.send(b"GET / HTTP/1.1\r\n\r\n")
                    await eventually(lambda: len(errors) == debug and answered(sock))
        await eventually(lambda: len(errors) == debug)
        await asyncio.sleep(0.02)
        transport, protocol = await connect(loop, address)
        await eventually(lambda: protocol.data == b"hello")
        transport.abort()
        await eventually(lambda: greeter.made[0].lost)
        server.close()
        await server.wait_closed()

    run(main())
    assert len(greeter.made) == 1
    assert len(errors) == debug
    for context in errors:
        assert context["message"] == "Error on transport creation for incoming connection"
        assert isinstance(context["exception"], ssl.SSLError | ConnectionResetError)
        assert isinstance(context["protocol"], greeter)
        assert context["transport"].is_closing()
    assert logged.texts(logging.ERROR) == []


def answered(sock: socket.socket) -> bool:
    """Whether something, the end of the stream included, has come."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        sock.recv(100, socket.MSG_PEEK)
        return True
    return False


def test_handshake_timeout(run: Run, loop: Loop, greeter: type[Greeter], errors: list[dict[str, Any]]) -> None:
    """S22.10: a client that says nothing is dropped, and reported in debug mode."""
    loop.set_debug(True)

    async def main() -> None:
        server = await loop.create_server(greeter, "127.0.0.1", 0, ssl=server_context(), ssl_handshake_timeout=0.05)
        with socket.create_connection(server.sockets[0].getsockname()) as sock:
            await eventually(lambda: answered(sock))
            assert sock.recv(10) == b""
        await eventually(lambda: errors)
        server.close()
        await server.wait_closed()

    run(main())
    assert [type(context["exception"]) for context in errors] == [ConnectionAbortedError]
    assert greeter.made == []


@since(3, 13)
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_end_of_the_clients(run: Run, loop: Loop, greeter: type[Greeter], method: str) -> None:
    """S19: the connections of a server, TLS or not."""

    async def main() -> None:
        server = await loop.create_server(greeter, "127.0.0.1", 0, ssl=server_context())
        _, protocol = await connect(loop, server.sockets[0].getsockname())
        await eventually(lambda: protocol.data == b"hello")
        server.close()
        getattr(server, method)()
        await server.wait_closed()
        await eventually(lambda: protocol.lost)
        assert greeter.made[0].lost == [None]

    run(main())


@since(3, 13)
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_end_of_clients_that_shake_hands(
    run: Run, loop: Loop, greeter: type[Greeter], errors: list[dict[str, Any]], method: str
) -> None:
    """S19, S22: a handshake under way keeps nothing open, and the protocol never hears of it."""

    async def main() -> None:
        server = await loop.create_server(greeter, "127.0.0.1", 0, ssl=server_context())
        with socket.create_connection(server.sockets[0].getsockname()) as sock:
            sock.setblocking(False)
            hello = Peer(sock, client_context(), server_side=False)
            with pytest.raises(ssl.SSLWantReadError):
                hello.tls.do_handshake()
            await hello.flush()
            await hello.take()
            server.close()
            getattr(server, method)()
            with contextlib.suppress(EOFError, ConnectionResetError):
                while True:
                    await hello.take()
            await server.wait_closed()

    run(main())
    assert greeter.made == []
    assert errors == []


async def write_on(writer: asyncio.StreamWriter) -> None:
    """Write without an end."""
    while True:
        writer.write(b"An interesting message")
        await writer.drain()
        if sys.version_info < (3, 14):  # later ones see that the transport below is closing (S22.18)
            await asyncio.sleep(0)


@pytest.mark.parametrize("end", ["reset", "garbage"])
def test_stream_writer_hears_of_the_end(run: Run, end: str) -> None:
    """S57, cpython#118950: who only writes and drains is told, too, and not left to write for ever."""

    async def main() -> None:
        left, right = tcp_pair()
        peer = Peer(right, server_context())
        shaking = asyncio.ensure_future(peer.handshake())
        _, writer = await asyncio.open_connection(sock=left, ssl=client_context(), server_hostname=HOST)
        await shaking
        if end == "reset":
            reset(right)
        else:
            await peer.send_raw(b"garbage, and more of it")
        with pytest.raises(ConnectionResetError if end == "reset" else (ssl.SSLError, ConnectionResetError)):
            await write_on(writer)
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await writer.wait_closed()
        right.close()

    run(main())


def test_wait_closed_waits_for_handshakes(run: Run, loop: Loop, greeter: type[Greeter]) -> None:
    """S19: a connection counts from its acceptance on."""

    async def main() -> None:
        server = await loop.create_server(greeter, "127.0.0.1", 0, ssl=server_context())
        with socket.create_connection(server.sockets[0].getsockname()) as sock:
            await asyncio.sleep(0.02)
            server.close()
            closed = asyncio.ensure_future(server.wait_closed())
            sock.send(b"\x16")
            await asyncio.sleep(0.01)
            # Before 3.12 nobody waited once the server was closed.
            assert closed.done() is (sys.version_info < (3, 12))
        await closed
        await asyncio.sleep(0.01)

    run(main())
    assert greeter.made == []


def test_concurrent_connections(run: Run, loop: Loop, greeter: type[Greeter]) -> None:
    """S22: fifty at once."""

    async def main() -> None:
        server = await loop.create_server(greeter, "127.0.0.1", 0, ssl=server_context())
        address = server.sockets[0].getsockname()
        context = client_context()
        made = await asyncio.gather(*(connect(loop, address, context) for _ in range(50)))
        await eventually(lambda: all(protocol.data == b"hello" for _, protocol in made))
        for transport, _ in made:
            transport.close()
        await eventually(lambda: all(protocol.lost == [None] for _, protocol in made))
        server.close()
        await server.wait_closed()

    run(main(), 30)
