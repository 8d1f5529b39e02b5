"""S24: files over TLS, which are read and written (S24.2)."""

import asyncio
from typing import Any

import pytest
from support.files import BLOCKS, CONTENT, Plain
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import eventually, unix_pair
from support.tls import Peer, tls_connection

pytestmark = pytest.mark.tls_engines


@pytest.fixture
def file(file: Any) -> Any:
    """The file at its beginning, which asyncio before 3.14 does not look for if the offset is 0."""
    file.seek(0)
    return file


SIDES = pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])


async def send_to(peer: Peer, size: int, sending: Any) -> tuple[int, bytes]:
    """What sending returned, and what the peer received of it."""
    task = asyncio.ensure_future(sending)
    data = await peer.receive(size)
    return await task, data


@SIDES
@pytest.mark.parametrize(("offset", "count"), BLOCKS)
def test_sendfile(loop: Loop, run: Run, file: Any, server_side: bool, offset: int, count: int | None) -> None:
    """S24.2, S24.5, S24.9: between what is written before and after; the file ends where the sending did."""
    expected = CONTENT[offset:] if count is None else CONTENT[offset : offset + count]

    async def main() -> None:
        async with tls_connection(server_side=server_side) as (transport, protocol, peer):
            transport.write(b"before")
            sending = loop.sendfile(transport, file, offset, count)
            assert await send_to(peer, 6 + len(expected), sending) == (len(expected), b"before" + expected)
            assert file.tell() == offset + len(expected)
            assert transport.get_protocol() is protocol
            transport.write(b"after")
            assert await peer.receive(5) == b"after"
            assert protocol.names == ["made"]

    run(main())


def test_without_fallback(loop: Loop, run: Run, file: Any) -> None:
    """S24.2: refused, and nothing was sent."""

    async def main() -> None:
        async with tls_connection() as (transport, _, peer):
            text = f"fallback is disabled and native sendfile is not supported for transport {transport!r}"
            with pytest.raises(RuntimeError) as caught:
                await loop.sendfile(transport, file, fallback=False)
            assert str(caught.value) == text
            assert not isinstance(caught.value, asyncio.SendfileNotAvailableError)
            transport.write(b"data")
            assert await peer.receive(4) == b"data"

    run(main())


def test_closing_transport(loop: Loop, run: Run, file: Any) -> None:
    """S24.1."""

    async def main() -> None:
        async with tls_connection() as (transport, _, _peer):
            transport.close()
            with pytest.raises(RuntimeError, match=r"^Transport is closing$"):
                await loop.sendfile(transport, file)

    run(main())


@pytest.mark.parametrize("reads", [False, True])
def test_reading_is_paused(loop: Loop, run: Run, file: Any, reads: bool) -> None:
    """S24.5: and restored to its former state."""

    async def main() -> None:
        async with tls_connection(pair=unix_pair) as (transport, protocol, peer):
            if not reads:
                transport.pause_reading()
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
            await eventually(lambda: transport.get_protocol() is not protocol)
            assert not transport.is_reading()
            await peer.send(b"data")
            assert await peer.receive(len(CONTENT)) == CONTENT
            assert protocol.data == b""
            await sending
            assert transport.is_reading() is reads
            if reads:
                await eventually(lambda: protocol.data == b"data")

    run(main())


def test_buffer_stays_small(loop: Loop, run: Run) -> None:
    """S24.7: each block is written with flow control."""
    content = CONTENT * 2

    async def main() -> None:
        async with tls_connection(pair=unix_pair) as (transport, protocol, peer):
            transport.set_write_buffer_limits(65536)
            sizes: list[int] = []
            sending = asyncio.ensure_future(loop.sendfile(transport, Plain(content)))
            receiving = asyncio.ensure_future(peer.receive(len(content)))
            while not receiving.done():
                sizes.append(transport.get_write_buffer_size())
                await asyncio.sleep(0)
            assert receiving.result() == content
            assert await sending == len(content)
            assert max(sizes) <= 65536 + 2 * 16384
            assert protocol.names == ["made"]

    run(main())


@ferroloop_only("may drop what it writes without a word", "S24.6")
def test_peer_goes_away(loop: Loop, run: Run, file: Any) -> None:
    """S24.6: an error for who sends, and one connection_lost."""

    async def main() -> None:
        async with tls_connection(pair=unix_pair) as (transport, protocol, peer):
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
            await peer.receive(100_000)
            peer.sock.close()
            with pytest.raises(ConnectionError):
                await sending
            await eventually(lambda: protocol.lost)
            await asyncio.sleep(0.002)
            assert len(protocol.lost) == 1

    run(main())


def test_aborted_meanwhile(loop: Loop, run: Run, file: Any) -> None:
    """S24.6: by its own side."""

    async def main() -> None:
        async with tls_connection(pair=unix_pair) as (transport, protocol, peer):
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
            await peer.receive(100_000)
            transport.abort()
            with pytest.raises(ConnectionError, match=r"^Connection (is )?closed by peer$"):
                await sending
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [None]

    run(main())


@ferroloop_only("sends all of it", "S24.5")
def test_no_bytes(loop: Loop, run: Run, file: Any) -> None:
    """S24.5: a count of 0 is no count of all."""

    async def main() -> None:
        async with tls_connection() as (transport, _, peer):
            assert await loop.sendfile(transport, file, 0, 0) == 0
            transport.write(b"data")
            assert await peer.receive(4) == b"data"

    run(main())


@ferroloop_only("does not count what waits in the transport", "S24.9")
def test_position_after_cancellation(loop: Loop, run: Run) -> None:
    """S24.9: who resumes there sends no byte twice, and leaves none out."""
    file = Plain(CONTENT)

    async def main() -> None:
        async with tls_connection(pair=unix_pair) as (transport, _, peer):
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
            await eventually(lambda: transport._protocol_paused)
            await asyncio.sleep(0.01)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert 0 < file.tell() < len(CONTENT)
            receiving = asyncio.ensure_future(peer.receive(len(CONTENT) + 3))
            await loop.sendfile(transport, file, file.tell())
            transport.write(b"end")
            assert await receiving == CONTENT + b"end"

    run(main())


def test_cancelled(loop: Loop, run: Run, file: Any) -> None:
    """S24.5, S24.9: the protocol is back at once, and what was read so far arrives."""

    async def main() -> None:
        async with tls_connection(pair=unix_pair) as (transport, protocol, peer):
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
            await peer.receive(100_000)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert transport.get_protocol() is protocol
            assert transport.is_reading()
            sent = file.tell()
            assert 100_000 < sent < len(CONTENT)
            assert await peer.receive(sent - 100_000) == CONTENT[100_000:sent]
            await peer.send(b"data")
            await eventually(lambda: protocol.data == b"data")

    run(main())
