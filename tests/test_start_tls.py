"""S22.1-S22.7: upgrading a connection to TLS."""

import asyncio
import contextlib
import gc
import re
import socket
import ssl
import sys
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.certificates import HOST, client_context, server_context, stranger_context
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import connection, eventually, receive, send, tcp_pair, unix_pair
from support.protocols import BufferedRecorder, Recorder
from support.tls import Peer

pytestmark = pytest.mark.tls_engines

SIDES = pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])
BLOB = bytes(range(256)) * 4096


def contexts(server_side: bool) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Our context and the peer's."""
    return (server_context(), client_context()) if server_side else (client_context(), server_context())


async def upgrade(
    transport: Any, protocol: Any, sock: socket.socket, server_side: bool = False, **options: Any
) -> tuple[Any, Peer]:
    """Speak TLS from now on; returns the new transport and the peer."""
    ours, theirs = contexts(server_side)
    peer = Peer(sock, theirs, server_side=not server_side)
    loop = asyncio.get_running_loop()
    shaking = loop.create_task(peer.handshake())
    name = None if server_side else HOST
    upgraded = await loop.start_tls(transport, protocol, ours, server_side=server_side, server_hostname=name, **options)
    await shaking
    return upgraded, peer


@contextlib.asynccontextmanager
async def end(transport: Any, protocol: Any) -> AsyncIterator[None]:
    """Abort an upgraded connection afterwards."""
    try:
        yield
    finally:
        transport.abort()
        await eventually(lambda: protocol.lost)


@pytest.mark.parametrize("wrong", [None, "context", object()])
def test_no_context(run: Run, loop: Loop, wrong: Any) -> None:
    """S22.2."""
    text = re.escape(f"sslcontext is expected to be an instance of ssl.SSLContext, got {wrong!r}")

    async def main() -> None:
        async with connection() as (transport, protocol, _):
            with pytest.raises(TypeError, match=f"^{text}$"):
                await loop.start_tls(transport, protocol, wrong)
            assert not transport.is_closing()

    run(main())


def test_unsupported_transport(run: Run, loop: Loop) -> None:
    """S22.3."""

    async def main() -> None:
        transport = asyncio.Transport()
        text = re.escape(f"transport {transport!r} is not supported by start_tls()")
        with pytest.raises(TypeError, match=f"^{text}$"):
            await loop.start_tls(transport, asyncio.Protocol(), client_context())

    run(main())


@SIDES
@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
@pytest.mark.parametrize("make", [Recorder, lambda: BufferedRecorder(lambda hint: memoryview(bytearray(9)))])
def test_upgrade(run: Run, server_side: bool, pair: Any, make: Any) -> None:
    """S22.3, S22.5: data flows both ways, and connection_made is not called again."""

    async def main() -> None:
        async with connection(make, pair) as (transport, protocol, sock):
            await send(sock, b"plain")
            await eventually(lambda: protocol.data == b"plain")
            upgraded, peer = await upgrade(transport, protocol, sock, server_side)
            async with end(upgraded, protocol):
                assert upgraded is not transport
                assert transport.get_protocol() is not protocol
                assert upgraded.get_protocol() is protocol
                upgraded.write(BLOB)
                assert await peer.receive(len(BLOB)) == BLOB
                await peer.send(b"secret")
                await eventually(lambda: protocol.data == b"plainsecret")
                assert protocol.names.count("made") == 1
                assert upgraded.get_extra_info("ssl_object").version() == "TLSv1.3"

    run(main())


@pytest.mark.parametrize("clean", [True, False])
def test_peer_closes(run: Run, clean: bool) -> None:
    """S22.13: the end comes as with any TLS connection, with a close_notify or without."""

    async def main() -> None:
        async with connection() as (transport, protocol, sock):
            upgraded, peer = await upgrade(transport, protocol, sock)
            await peer.send_raw(peer.records(b"bye"))
            if clean:
                await peer.send_raw(peer.goodbye())
            else:
                sock.close()
            await eventually(lambda: protocol.lost)
            assert protocol.events == [("made",), ("data", b"bye"), ("eof",), ("lost", None)]
            assert upgraded.is_closing()

    run(main())


def test_peer_has_gone(run: Run) -> None:
    """S22.13: the end that has been read already ends the handshake."""

    async def main() -> None:
        async with connection(lambda: Recorder(True)) as (transport, protocol, sock):
            sock.close()
            await eventually(lambda: "eof" in protocol.names)
            with pytest.raises(ConnectionResetError):
                await asyncio.get_running_loop().start_tls(transport, protocol, server_context(), server_side=True)

    run(main())


def test_order(run: Run, loop: Loop) -> None:
    """S22.4: reading is paused until TLS is ready for it."""

    async def main() -> None:
        async with connection() as (transport, protocol, sock):
            ours, theirs = contexts(False)
            upgrading = loop.create_task(loop.start_tls(transport, protocol, ours, server_hostname=HOST))
            assert transport.is_reading()
            await asyncio.sleep(0)
            assert not transport.is_reading()
            assert transport.get_protocol() is not protocol
            await asyncio.sleep(0)
            assert transport.is_reading()
            peer = Peer(sock, theirs)
            shaking = loop.create_task(peer.handshake())
            upgraded = await upgrading
            await shaking
            async with end(upgraded, protocol):
                pass

    run(main())


@pytest.mark.parametrize("turns", range(5))
def test_cancelled(run: Run, loop: Loop, turns: int) -> None:
    """S22.6: the transport is closed, once the call has begun."""

    async def main() -> None:
        async with connection() as (transport, protocol, sock):
            upgrading = asyncio.ensure_future(
                loop.start_tls(transport, protocol, client_context(), server_hostname=HOST)
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            upgrading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await upgrading
            assert transport.is_closing() is (turns > 0)
            sock.send(b"plain")
            await asyncio.sleep(0.01)
            assert protocol.data == (b"" if turns else b"plain")

    run(main())


def test_handshake_fails(run: Run, loop: Loop) -> None:
    """S22.6: the error is raised, the transport closed; the protocol hears of the loss, as it knows the connection."""

    async def main() -> None:
        async with connection() as (transport, protocol, sock):
            peer = Peer(sock, server_context())
            shaking = loop.create_task(peer.handshake())
            with pytest.raises(ssl.SSLCertVerificationError):
                await loop.start_tls(transport, protocol, stranger_context(), server_hostname=HOST)
            assert transport.is_closing()
            await eventually(lambda: protocol.lost)
            assert [type(exc) for exc in protocol.lost] == [ssl.SSLCertVerificationError]
            await asyncio.wait([shaking])
            shaking.exception()

    run(main())


@ferroloop_only("keeps the error in the waiter, and that in its own traceback", "S22", when=sys.version_info < (3, 14))
def test_failure_leaves_no_cycle(run: Run, loop: Loop) -> None:
    """S22.6: reference counts alone free what a refused upgrade has made."""

    async def refused() -> "weakref.ref[ssl.SSLContext]":
        ours = stranger_context()
        async with connection() as (transport, protocol, sock):
            peer = Peer(sock, server_context())
            shaking = loop.create_task(peer.handshake())
            with contextlib.suppress(ssl.SSLCertVerificationError):
                await loop.start_tls(transport, protocol, ours, server_hostname=HOST)
            await eventually(lambda: protocol.lost)
            await asyncio.wait([shaking])
            shaking.exception()
            protocol.events.clear()
            protocol.transport = None
        return weakref.ref(ours)

    async def main() -> None:
        gc.collect()
        gc.disable()
        try:
            context = await refused()
            await eventually(lambda: context() is None)
        finally:
            gc.enable()

    run(main())


def test_handshake_timeout(run: Run, loop: Loop) -> None:
    """S22.6, S22.10."""

    async def main() -> None:
        async with connection() as (transport, protocol, _):
            with pytest.raises(ConnectionAbortedError, match=r"^SSL handshake is taking longer than 0\.05 seconds"):
                await loop.start_tls(
                    transport, protocol, client_context(), server_hostname=HOST, ssl_handshake_timeout=0.05
                )
            assert transport.is_closing()

    run(main())


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_wrong_timeouts(run: Run, loop: Loop, name: str) -> None:
    """S22.9: nothing has happened to the transport."""

    async def main() -> None:
        async with connection() as (transport, protocol, _):
            options: dict[str, Any] = {name: 0}
            with pytest.raises(ValueError, match=f"^{name} should be a positive number, got 0$"):
                await loop.start_tls(transport, protocol, client_context(), **options)
            assert transport.get_protocol() is protocol
            assert transport.is_reading()

    run(main())


@ferroloop_only("starts TLS believing it may write, and asserts when told that it may", "S22, cpython#109051")
def test_while_writing_is_paused(run: Run, loop: Loop) -> None:
    """S22: what was written before goes out first; the protocol is resumed when it has, and data flows."""

    async def main() -> None:
        async with connection(pair=unix_pair) as (transport, protocol, sock):
            size = 0
            while "pause" not in protocol.names:
                transport.write(BLOB)
                size += len(BLOB)
            ours, theirs = contexts(False)
            upgrading = loop.create_task(loop.start_tls(transport, protocol, ours, server_hostname=HOST))
            for _ in range(5):
                await asyncio.sleep(0)
            assert protocol.names == ["made", "pause"]
            assert len(await receive(sock, size)) == size
            peer = Peer(sock, theirs)
            shaking = loop.create_task(peer.handshake())
            upgraded = await upgrading
            await shaking
            assert protocol.names == ["made", "pause", "resume"]
            async with end(upgraded, protocol):
                upgraded.write(BLOB)
                assert await peer.receive(len(BLOB)) == BLOB

    run(main())


@ferroloop_only("leaves them in the reader and waits for ever", "S22.7", when=sys.version_info < (3, 14))
def test_hello_in_the_stream_reader(run: Run, loop: Loop) -> None:
    """S22.7: a client that does not wait for the answer to its STARTTLS."""

    async def main() -> None:
        left, right = unix_pair()
        reader, writer = await asyncio.open_connection(sock=left)
        peer = Peer(right, client_context(), server_side=False)
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.do_handshake()
        await send(right, b"STARTTLS\r\n" + peer.outgoing.read())
        assert await reader.readline() == b"STARTTLS\r\n"
        shaking = loop.create_task(peer.handshake())
        transport, protocol = writer.transport, writer.transport.get_protocol()
        upgraded = await loop.start_tls(transport, protocol, server_context(), server_side=True)
        await shaking
        await peer.send(b"after")
        assert await reader.readexactly(5) == b"after"
        upgraded.abort()
        await eventually(lambda: left.fileno() == -1)
        right.close()

    run(main())


def test_stream_writers(run: Run, loop: Loop) -> None:
    """S57: StreamWriter.start_tls on both sides of a STARTTLS protocol."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go\n")
        await writer.drain()
        await writer.start_tls(server_context())
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go\n"
        await writer.start_tls(client_context(), server_hostname=HOST)
        writer.write(b"secret\n")
        assert await reader.readline() == b"SECRET\n"
        assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())
