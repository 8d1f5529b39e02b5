"""S22.13-S22.16, S22.18: how TLS connections end."""

import asyncio
import socket
import ssl
import sys
from typing import Any

import pytest
from support.certificates import HOST, client_context, server_context
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import eventually, reset, tcp_pair, unix_pair
from support.protocols import BufferedRecorder, Recorder
from support.tls import Peer, tls_connection

pytestmark = pytest.mark.tls_engines

SIDES = pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])
BLOB = bytes(range(256)) * 4096
# Stock asyncio got this with 3.14.4 and 3.15.
OLD = sys.version_info < (3, 14)


@SIDES
def test_close(run: Run, server_side: bool) -> None:
    """S22.13: close_notify, the peer's, then connection_lost(None)."""

    async def main() -> None:
        async with tls_connection(server_side=server_side) as (transport, protocol, peer):
            assert not transport.is_closing()
            transport.close()
            assert transport.is_closing()
            transport.close()
            assert protocol.names == ["made"]
            await peer.unwrap()
            await eventually(lambda: protocol.lost)
            assert protocol.events == [("made",), ("eof",), ("lost", None)]
            assert peer.sock.recv(10) == b""

    run(main())


def test_close_flushes(run: Run) -> None:
    """S22.13: what was written goes out first, and then the goodbye."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            for _ in range(5):
                transport.write(BLOB)
            transport.close()
            assert await peer.receive(len(BLOB) * 5 + 1) == BLOB * 5
            await peer.unwrap()
            await eventually(lambda: protocol.lost == [None])

    run(main(), 30)


def test_peer_closes(run: Run) -> None:
    """S22.13: its close_notify is answered; data before it is delivered."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            await peer.send_raw(peer.records(b"last words") + peer.goodbye())
            await peer.unwrap()
            await eventually(lambda: protocol.lost)
            assert protocol.events == [("made",), ("data", b"last words"), ("eof",), ("lost", None)]
            assert transport.is_closing()

    run(main())


@ferroloop_only(
    "loses what a closing transport is given, and is lost twice", "S17.6", when=(3, 12) <= sys.version_info < (3, 14)
)
def test_peer_closes_before_our_data_is_out(run: Run) -> None:
    """S22.13: a close_notify ends the peer's side; what was written before still goes out (RFC 8446, 6.1)."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            for _ in range(3):
                transport.write(BLOB)
            await peer.send_raw(peer.goodbye())
            await eventually(lambda: "eof" in protocol.names)
            data = bytearray()
            while len(data) < len(BLOB) * 3:
                data += await peer.receive(1 << 16)
            assert bytes(data) == BLOB * 3
            await eventually(lambda: protocol.lost == [None])

    run(main(), 30)


def test_unclean_eof(run: Run) -> None:
    """S22.13: the end of the stream without a close_notify counts as one, as so many peers leave it out."""

    async def main() -> None:
        async with tls_connection() as (_, protocol, peer):
            await peer.send(b"data")
            peer.sock.close()
            await eventually(lambda: protocol.lost)
            assert protocol.events == [("made",), ("data", b"data"), ("eof",), ("lost", None)]

    run(main())


def test_truncated_record(run: Run) -> None:
    """S22.13: half of a record is nothing."""

    async def main() -> None:
        async with tls_connection() as (_, protocol, peer):
            await peer.send_raw(peer.records(b"whole") + peer.records(b"cut off")[:-4])
            peer.sock.close()
            await eventually(lambda: protocol.lost)
            assert protocol.events == [("made",), ("data", b"whole"), ("eof",), ("lost", None)]

    run(main())


def test_eof_while_paused(run: Run) -> None:
    """S22.13: what was received before the end waits until the application resumes."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            transport.pause_reading()
            await peer.send(b"data")
            peer.sock.close()
            await eventually(lambda: transport.get_read_buffer_size())
            for _ in range(10):
                await asyncio.sleep(0.001)
            assert protocol.names == ["made"]
            transport.resume_reading()
            await eventually(lambda: protocol.lost)
            assert protocol.events == [("made",), ("data", b"data"), ("eof",), ("lost", None)]

    run(main())


@ferroloop_only("fills one more buffer and drops the rest", spec="S22.13")
@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("end", [socket.SHUT_WR, socket.SHUT_RDWR], ids=["one side", "both"])
def test_unclean_eof_behind_much_data(run: Run, paused: bool, end: int) -> None:
    """S22.13: more than the protocol's buffer holds, also if it pauses between two of them."""
    data = BLOB[:40_000]

    class Pausing(BufferedRecorder):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(0.001, self.transport.resume_reading)

    async def main() -> None:
        def make() -> BufferedRecorder:
            return (Pausing if paused else BufferedRecorder)(lambda hint: bytearray(10_000))

        async with tls_connection(make) as (_, protocol, peer):
            await peer.send_raw(peer.records(data))
            peer.sock.shutdown(end)
            await eventually(lambda: protocol.lost)
            assert protocol.data == data
            assert protocol.lost == [None]

    run(main())


def test_unclean_eof_after_a_change_of_protocols(run: Run) -> None:
    """S22.13: the first one's buffer was full, and there was to be another."""
    second = Recorder()

    class First(BufferedRecorder):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            asyncio.get_running_loop().call_soon(self.transport.set_protocol, second)

    async def main() -> None:
        async with tls_connection(lambda: First(lambda hint: bytearray(1))) as (_, first, peer):
            await peer.send(b"1")
            await eventually(lambda: first.data == b"1")
            await peer.send(b"23")
            await eventually(lambda: second.data == b"23")
            peer.sock.shutdown(socket.SHUT_WR)
            await eventually(lambda: second.lost)
            assert second.names == ["data", "eof", "lost"]

    run(main())


def test_goodbye_while_paused(run: Run) -> None:
    """S22.13: the same for a close_notify."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            transport.pause_reading()
            await peer.send_raw(peer.records(b"data") + peer.goodbye())
            await eventually(lambda: transport.get_read_buffer_size())
            assert protocol.names == ["made"]
            transport.resume_reading()
            await eventually(lambda: protocol.lost)
            assert protocol.events == [("made",), ("data", b"data"), ("eof",), ("lost", None)]

    run(main())


def test_reset(run: Run) -> None:
    """S16.10: the network's error is the reason."""

    async def main() -> None:
        async with tls_connection() as (_, protocol, peer):
            reset(peer.sock)
            await eventually(lambda: protocol.lost)
            assert [type(exc) for exc in protocol.lost] == [ConnectionResetError]
            assert protocol.names == ["made", "lost"]

    run(main())


def test_data_after_close(run: Run) -> None:
    """S22.13: `close()` ends reading: a peer that goes on sending is cut off, and nothing is downloaded for long."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            transport.close()
            await peer.send(b"unwanted")
            await eventually(lambda: protocol.lost)
            assert protocol.data == b""
            assert [type(exc) for exc in protocol.lost] == [ssl.SSLError]
            assert "application data after close notify" in str(protocol.lost[0])

    run(main())


def test_shutdown_timeout(run: Run) -> None:
    """S22.13: a peer that never says goodbye."""

    async def main() -> None:
        async with tls_connection(ssl_shutdown_timeout=0.05) as (transport, protocol, _):
            transport.close()
            await eventually(lambda: protocol.lost)
            assert [type(exc) for exc in protocol.lost] == [TimeoutError]
            assert str(protocol.lost[0]) == "SSL shutdown timed out"

    run(main())


@ferroloop_only("counts no time while the transport below flushes", "S22.13", when=OLD)
@pytest.mark.parametrize("who", ["we", "peer"])
def test_shutdown_timeout_covers_the_flush(run: Run, who: str) -> None:
    """S22.13: a peer that says goodbye and reads nothing."""

    async def main() -> None:
        async with tls_connection(ssl_shutdown_timeout=0.05, pair=unix_pair) as (transport, protocol, peer):
            while "pause" not in protocol.names:
                transport.write(BLOB)
            if who == "we":
                transport.close()
            await peer.send_raw(peer.goodbye())
            await eventually(lambda: protocol.lost)
            assert [str(exc) for exc in protocol.lost] == ["SSL shutdown timed out"]

    run(main())


def test_abort(run: Run) -> None:
    """S22: at once, without a word, and what was not sent is lost."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            transport.write(b"x" * 10_000_000)
            transport.abort()
            assert transport.is_closing()
            transport.abort()
            transport.close()
            assert protocol.lost == []
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [None]
            assert "eof" not in protocol.names
            await asyncio.sleep(0)
            assert protocol.lost == [None]
            del peer

    run(main())


@pytest.mark.parametrize("first", ["close", "goodbye", "eof", "abort", "garbage", "reset"])
@pytest.mark.parametrize("then", ["close", "abort", "eof", "reset"])
def test_lost_once(run: Run, first: str, then: str) -> None:
    """S16.22: connection_lost comes once, and is the last call."""

    async def act(what: str, transport: Any, peer: Peer) -> None:
        if what in ("close", "abort"):
            getattr(transport, what)()
        elif peer.sock.fileno() == -1:
            pass
        elif what == "goodbye":
            await peer.send_raw(peer.goodbye())
        elif what == "garbage":
            await peer.send_raw(b"garbage, of course")
        elif what == "eof":
            peer.sock.close()
        else:
            reset(peer.sock)

    async def main() -> None:
        async with tls_connection(ssl_shutdown_timeout=0.5) as (transport, protocol, peer):
            await act(first, transport, peer)
            await act(then, transport, peer)
            await eventually(lambda: protocol.lost)
            for _ in range(5):
                await asyncio.sleep(0.001)
            assert len(protocol.lost) == 1
            assert protocol.names[-1] == "lost"
            assert protocol.names.count("eof") <= 1

    run(main())


@pytest.mark.parametrize("method", ["close", "abort"])
def test_closed_in_data_received(run: Run, method: str) -> None:
    """S16.9: nothing is delivered after that, though it has been received."""

    class Closer(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            getattr(self.transport, method)()

    async def main() -> None:
        async with tls_connection(Closer, ssl_shutdown_timeout=0.2) as (_, protocol, peer):
            await peer.send(b"x")
            await eventually(lambda: protocol.data)
            if method == "close":
                await peer.unwrap()
            await eventually(lambda: protocol.lost == [None])
            assert protocol.data == b"x"

    run(main())


@pytest.mark.parametrize("method", ["close", "abort"])
def test_closed_in_connection_made(run: Run, loop: Loop, method: str) -> None:
    """S16.2: the connection ends before it began; the caller still gets it."""

    class Closer(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            getattr(transport, method)()

    async def main() -> None:
        left, right = tcp_pair()
        peer = Peer(right, server_context())
        shaking = loop.create_task(peer.handshake())
        transport, protocol = await loop.create_connection(
            Closer, sock=left, ssl=client_context(), server_hostname=HOST, ssl_shutdown_timeout=0.05
        )
        assert transport.is_closing()
        await asyncio.wait([shaking])
        shaking.exception()
        await eventually(lambda: protocol.lost)
        assert protocol.data == b""
        right.close()

    run(main())
