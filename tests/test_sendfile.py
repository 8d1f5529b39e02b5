"""S24: files over transports."""

import asyncio
import io
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.files import BLOCKS, CONTENT, RANGES, WRONG, Plain, gather
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import connection, eventually, readable, receive, receive_all, reset, tcp_pair, unix_pair

Pair = tuple[socket.socket, socket.socket]


CLOSED = "never returns, or fails in its own state"
# It reads the next block into the buffer of which the transport still has a view.
OVERWRITES = ferroloop_only("overwrites what it has not sent yet", "S16.15", when=sys.version_info >= (3, 12))


@pytest.mark.parametrize(("name", "value", "kind", "text"), WRONG)
def test_wrong_arguments_of_transports(
    loop: Loop, run: Run, file: Any, name: str, value: Any, kind: type[Exception], text: str
) -> None:
    """S23.1, S24.3: and the transport is as before."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            kwargs = {"transport": transport, "file": file, name: value}
            with pytest.raises(kind) as caught:
                await loop.sendfile(**kwargs)
            assert str(caught.value) == text
            assert transport.is_reading()
            transport.write(b"data")
            assert await receive(peer, 4) == b"data"
            peer.send(b"data")
            await eventually(lambda: protocol.data == b"data")

    run(main())


@pytest.mark.parametrize(("offset", "count"), RANGES[:-1])
@pytest.mark.parametrize("make", [tcp_pair, unix_pair])
def test_sendfile(loop: Loop, run: Run, file: Any, make: Callable[[], Pair], offset: int, count: Any) -> None:
    """S24.2, S24.3: natively, between what is written before and after."""
    expected = CONTENT[offset:] if count is None else CONTENT[offset : offset + count]

    async def main() -> None:
        async with connection(pair=make) as (transport, protocol, peer):
            transport.write(b"before")
            sending = loop.sendfile(transport, file, offset, count, fallback=False)
            sent, data = await gather(sending, peer, len(expected) + 6)
            assert sent == len(expected)
            assert data == b"before" + expected
            if sent:
                assert file.tell() == offset + sent
            transport.write(b"after")
            assert await receive(peer, 5) == b"after"
            assert protocol.names == ["made"]

    run(main())


def test_buffered_writes_go_first(loop: Loop, run: Run, file: Any) -> None:
    """S24.3: however much it is."""
    before = os.urandom(4_000_000)

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.write(before)
            result = await gather(loop.sendfile(transport, file, fallback=False), peer, len(before) + len(CONTENT))
            assert result == (len(CONTENT), before + CONTENT)
            assert protocol.names == ["made", "pause", "resume"]

    run(main())


def test_writes_are_refused(loop: Loop, run: Run, file: Any) -> None:
    """S24.3, S16.12, S24.4: and a second file."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            sending = asyncio.ensure_future(loop.sendfile(transport, file, fallback=False))
            await eventually(lambda: readable(peer))
            with pytest.raises(RuntimeError, match=r"^unable to write; sendfile is in progress$"):
                transport.write(b"data")
            method = "writelines" if sys.version_info >= (3, 12) else "write"
            with pytest.raises(RuntimeError, match=f"^unable to {method}; sendfile is in progress$"):
                transport.writelines([b"data"])
            with pytest.raises(TypeError, match="data argument must be"):
                transport.write("text")
            assert await receive(peer, len(CONTENT)) == CONTENT
            assert await sending == len(CONTENT)
            transport.write(b"data")
            transport.writelines([b"more"])
            assert await receive(peer, 8) == b"datamore"

    run(main())


def test_second_file_at_once(loop: Loop, run: Run, file: Any) -> None:
    """S24.4."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            sending = asyncio.ensure_future(loop.sendfile(transport, file, fallback=False))
            await eventually(lambda: readable(peer))
            with pytest.raises((RuntimeError, KeyError)) as caught:
                await loop.sendfile(transport, file)
            if not isinstance(loop, asyncio.SelectorEventLoop):
                assert str(caught.value) == "Empty waiter is already set"
            assert await receive(peer, len(CONTENT)) == CONTENT
            await sending

    run(main())


def test_reading_is_paused(loop: Loop, run: Run, file: Any) -> None:
    """S24.3: and restored to its former state."""

    async def main(reads: bool) -> None:
        async with connection() as (transport, protocol, peer):
            if not reads:
                transport.pause_reading()
            sending = asyncio.ensure_future(loop.sendfile(transport, file, fallback=False))
            await eventually(lambda: readable(peer))
            assert not transport.is_reading()
            peer.send(b"data")
            await asyncio.sleep(0.002)
            assert protocol.data == b""
            assert await receive(peer, len(CONTENT)) == CONTENT
            await sending
            assert transport.is_reading() is reads
            if reads:
                await eventually(lambda: protocol.data == b"data")

    run(main(True))
    run(main(False))


@ferroloop_only("forgets how far it came", "S23.9")
def test_cancelled_sendfile(loop: Loop, run: Run, file: Any) -> None:
    """S24.3, S23.10: the transport can be used again at once."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            sending = asyncio.ensure_future(loop.sendfile(transport, file, fallback=False))
            await eventually(lambda: readable(peer))
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            sent = file.tell()
            assert 0 < sent < len(CONTENT)
            assert transport.is_reading()
            transport.write(b"after")
            assert await receive(peer, sent + 5) == CONTENT[:sent] + b"after"
            peer.send(b"data")
            await eventually(lambda: protocol.data == b"data")

    run(main())


def test_closing_transport(loop: Loop, run: Run, file: Any) -> None:
    """S24.1."""

    async def main() -> None:
        async with connection() as (transport, _, _peer):
            transport.close()
            with pytest.raises(RuntimeError, match=r"^Transport is closing$"):
                await loop.sendfile(transport, file)

    run(main())


def test_other_transports(loop: Loop, run: Run, file: Any) -> None:
    """S24.1, S24.2: pipes cannot, and what wraps a transport can if it says so."""

    async def main() -> None:
        reader, writer = os.pipe()
        transport, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(writer, "wb", 0))
        text = f"sendfile is not supported for transport {transport!r}"
        with pytest.raises(RuntimeError) as caught:
            await loop.sendfile(transport, file)
        assert str(caught.value) == text
        transport.close()
        await asyncio.sleep(0.001)
        os.close(reader)

        class Wrapped(asyncio.Transport):
            _sendfile_compatible = asyncio.constants._SendfileMode.FALLBACK

            def is_closing(self) -> bool:
                return False

        wrapped = Wrapped()
        with pytest.raises(RuntimeError) as caught:
            await loop.sendfile(wrapped, file, fallback=False)
        assert str(caught.value) == (
            f"fallback is disabled and native sendfile is not supported for transport {wrapped!r}"
        )

    run(main())


@pytest.mark.parametrize("native", [True, False])
def test_peer_goes_away(loop: Loop, run: Run, file: Any, native: bool) -> None:
    """S24.4, S24.6: connection_lost comes once, after the error."""
    source = file if native else Plain(CONTENT)

    async def main() -> None:
        async with connection(pair=unix_pair) as (transport, protocol, peer):
            sending = asyncio.ensure_future(loop.sendfile(transport, source))
            await asyncio.sleep(0.005)
            peer.close()
            with pytest.raises(ConnectionError):
                await sending
            await eventually(lambda: protocol.lost)
            await asyncio.sleep(0.002)
            assert len(protocol.lost) == 1
            assert transport.get_protocol() in (protocol, None)

    run(main())


@pytest.mark.parametrize("count", [1, 8])
@ferroloop_only("asyncio reports success", "S24.4", sys.version_info < (3, 14))
def test_fallback_to_a_peer_that_has_gone(loop: Loop, run: Run, count: int) -> None:
    """S24.4: noticed before the file counts as sent, whoever else writes in the same iteration."""

    async def send() -> str:
        async with connection() as (transport, _, peer):
            reset(peer)
            try:
                await loop.sendfile(transport, io.BytesIO(CONTENT[:10]))
            except ConnectionError as exc:
                return str(exc)
            return "sent"

    async def main() -> None:
        answers = await asyncio.gather(*[send() for _ in range(count)])
        assert set(answers) == {"Connection closed by peer"}

    run(main())


@ferroloop_only(CLOSED, "S24.4")
def test_reset_while_flushing(loop: Loop, run: Run, file: Any) -> None:
    """S24.4: the error of the write that came before."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.write(b"x" * 8_000_000)
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
            await eventually(lambda: not transport.is_reading())
            reset(peer)
            with pytest.raises(ConnectionError):
                await sending
            await eventually(lambda: protocol.lost)
            assert isinstance(protocol.lost[0], ConnectionError)

    run(main())


@ferroloop_only(CLOSED, "S24.4")
@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("buffered", [False, True])
def test_closed_meanwhile(loop: Loop, run: Run, file: Any, how: str, buffered: bool) -> None:
    """S24.4: by its own side."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            before = b"x" * 4_000_000 if buffered else b""
            transport.write(before)
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
            await eventually(lambda: not transport.is_reading())
            getattr(transport, how)()
            receiving = asyncio.ensure_future(receive_all(peer))
            with pytest.raises(ConnectionError, match=r"^Connection is closed by peer$"):
                await sending
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [None]
            data = await receiving
            if how == "close":
                assert data.startswith(before)
            assert (before + CONTENT).startswith(data)

    run(main())


@OVERWRITES
@pytest.mark.parametrize(("offset", "count"), BLOCKS)
def test_fallback_of_transports(loop: Loop, run: Run, offset: int, count: int | None) -> None:
    """S24.5, S24.9: read and written."""
    expected = CONTENT[offset:] if count is None else CONTENT[offset : offset + count]
    file = Plain(CONTENT)
    if offset:
        file.seek(77)

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            result = await gather(loop.sendfile(transport, file, offset, count), peer, len(expected))
            assert result == (len(expected), expected)
            assert transport.get_protocol() is protocol
            assert protocol.names == ["made"]

    run(main())
    if expected:
        assert file.tell() == offset + len(expected)


@ferroloop_only(CLOSED, "S24.6")
@pytest.mark.parametrize("how", ["close", "abort"])
def test_closed_while_reading_and_writing(loop: Loop, run: Run, how: str) -> None:
    """S24.6: in the fallback."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            sending = asyncio.ensure_future(loop.sendfile(transport, Plain(CONTENT)))
            await eventually(lambda: transport.get_write_buffer_size() > 0)
            getattr(transport, how)()
            receiving = asyncio.ensure_future(receive_all(peer))
            with pytest.raises(ConnectionError, match=r"^Connection (is )?closed by peer$"):
                await sending
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [None]
            assert CONTENT.startswith(await receiving)

    run(main())


@OVERWRITES
def test_fallback_restores_reading_and_writing(loop: Loop, run: Run) -> None:
    """S24.5, S24.10: a protocol that was paused is resumed, one that reads goes on."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.write(b"x" * 4_000_000)
            assert protocol.names == ["made", "pause"]
            sending = asyncio.ensure_future(loop.sendfile(transport, Plain(CONTENT)))
            await eventually(lambda: not transport.is_reading())
            assert not transport.is_reading()
            peer.send(b"data")
            data = await receive(peer, 4_000_000 + len(CONTENT))
            assert data[4_000_000:] == CONTENT
            await sending
            assert transport.get_protocol() is protocol
            assert transport.is_reading()
            await eventually(lambda: protocol.data == b"data")
            assert protocol.names == ["made", "pause", "resume", "data"]

    run(main())


@ferroloop_only("resumes a writer that was never paused, or one that is still", "S24.10")
@pytest.mark.parametrize("paused", [False, True])
def test_cancelled_fallback(loop: Loop, run: Run, paused: bool) -> None:
    """S24.5, S24.10: pausing and resuming still take turns."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.set_write_buffer_limits(1000)
            if paused:
                transport.write(b"x" * 4_000_000)
            sending = asyncio.ensure_future(loop.sendfile(transport, Plain(CONTENT)))
            await eventually(lambda: transport.get_write_buffer_size() > 1000)
            await asyncio.sleep(0.005)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert protocol.names == ["made", "pause"]
            receiving = asyncio.ensure_future(receive_all(peer))
            await eventually(lambda: "resume" in protocol.names)
            transport.close()
            await receiving
            await eventually(lambda: protocol.lost)
            assert protocol.names == ["made", "pause", "resume", "lost"]

    run(main())


@OVERWRITES
def test_fallback_keeps_the_buffer_small(loop: Loop, run: Run) -> None:
    """S24.7: each block is written with flow control."""

    async def main() -> None:
        async with connection(pair=unix_pair) as (transport, _, peer):
            sending = asyncio.ensure_future(loop.sendfile(transport, Plain(CONTENT)))
            await eventually(lambda: transport.get_write_buffer_size() > 65536)
            await asyncio.sleep(0.01)
            assert transport.get_write_buffer_size() <= 65536 + 16384
            assert await receive(peer, len(CONTENT)) == CONTENT
            await sending

    run(main())


def test_dropped_after_sendfile(loop: Loop, run: Run, file: Any) -> None:
    """S24.3: nothing of it stays behind: the transport closes like any other."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            await gather(loop.sendfile(transport, file, 0, 1000), peer, 1000)
            transport.write_eof()
            assert await receive_all(peer) == b""
            peer.close()
            await eventually(lambda: protocol.lost == [None])

    run(main())


def test_through_streams(loop: Loop, run: Run, file: Any) -> None:
    """S24.2: the transport of a StreamWriter."""

    async def main() -> None:
        left, right = unix_pair()
        _, writer = await asyncio.open_connection(sock=left)
        writer.write(b"head")
        await writer.drain()
        result = await gather(loop.sendfile(writer.transport, file), right, 4 + len(CONTENT))
        assert result == (len(CONTENT), b"head" + CONTENT)
        writer.close()
        await writer.wait_closed()
        right.close()

    run(main())
