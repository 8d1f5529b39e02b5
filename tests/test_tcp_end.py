"""S16: the end of the stream transport."""

import asyncio
import itertools
import logging
import socket
import sys
from typing import Any

import pytest
from support.fds import is_open
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, Run
from support.net import connection, eventually, receive, receive_all, reset, tcp_pair, unix_pair
from support.protocols import Recorder
from support.turns import turn

Errors = list[dict[str, Any]]
BIG = bytes(range(256)) * 16384  # 4 MiB: no kernel takes it at once


@ferroloop_only("writelines() failed", "S16.18", (3, 12) <= sys.version_info < (3, 14))
@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
def test_writes_after_loss(loop: Loop, run: Run, logged: LogList, pair: Any) -> None:
    """S16.18, S0.24: dropped in silence, then warned about; never raised."""

    async def main() -> None:
        async with connection(pair=pair) as (transport, protocol, peer):
            peer.close()
            await eventually(lambda: protocol.lost)
            for _ in range(4):
                transport.write(b"x")
            assert logged.texts(logging.WARNING) == []
            for _ in range(2):
                transport.write(b"x")
            transport.writelines([b"x"])
            assert logged.texts(logging.WARNING) == ["socket.send() raised exception."] * 3
            assert protocol.lost == [None]

    run(main())


@ferroloop_only("writelines() failed", "S16.18", (3, 12) <= sys.version_info < (3, 14))
def test_writes_after_close_and_abort(loop: Loop, run: Run) -> None:
    """S16.18: in the same iteration, too."""

    async def main() -> None:
        for end in ("close", "abort"):
            async with connection() as (transport, protocol, peer):
                getattr(transport, end)()
                transport.write(b"dropped")
                transport.writelines([b"dropped"])
                assert await receive_all(peer) == b""
                await eventually(lambda protocol=protocol: protocol.lost == [None])

    run(main())


def test_close_flushes(loop: Loop, run: Run) -> None:
    """S16.19."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.write(BIG)
            transport.close()
            transport.close()
            assert transport.is_closing()
            await asyncio.sleep(0.005)
            assert protocol.lost == []
            assert await receive_all(peer) == BIG
            await eventually(lambda: protocol.lost == [None])

    run(main())


@pytest.mark.parametrize("end", ["close", "abort"])
def test_connection_lost_is_never_called_inside(loop: Loop, end: str) -> None:
    """S16.19, S16.20: but in a later iteration."""
    left, right = unix_pair()
    transport, protocol = loop.run_until_complete(loop.create_connection(Recorder, sock=left))

    def finish() -> None:
        getattr(transport, end)()
        assert protocol.lost == []
        loop.call_soon(lambda: seen.append(list(protocol.lost)))

    seen: list[Any] = []
    loop.call_soon(finish)
    turn(loop)
    assert protocol.lost == []
    turn(loop)
    assert protocol.lost == [None]
    assert seen == [[None]], "queued when the end was asked for, before what came later"
    right.close()


def test_close_stops_reading(loop: Loop, run: Run) -> None:
    """S16.19."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.write(BIG)
            transport.close()
            peer.send(b"unheard")
            await receive(peer, len(BIG))
            await eventually(lambda: protocol.lost)
            assert protocol.data == b""

    run(main())


def test_abort_drops_the_buffer(loop: Loop, run: Run) -> None:
    """S16.20."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.write(BIG)
            transport.abort()
            assert transport.get_write_buffer_size() == 0
            assert transport.is_closing()
            await eventually(lambda: protocol.lost == [None])
            assert len(await receive_all(peer)) < len(BIG)

    run(main())


ENDS = ["close", "abort", "write_eof", "pause_reading", "resume_reading"]


@pytest.mark.parametrize("calls", list(itertools.product(ENDS[:3], ENDS)))
@pytest.mark.parametrize("pending", [b"", BIG])
def test_lost_once(loop: Loop, run: Run, calls: tuple[str, str], pending: bytes) -> None:
    """S16.21: whatever the mix, and with calls from inside connection_lost."""

    class Protocol(Recorder):
        def connection_lost(self, exc: BaseException | None) -> None:
            super().connection_lost(exc)
            self.transport.close()
            self.transport.resume_reading()

    async def main() -> None:
        async with connection(Protocol) as (transport, protocol, peer):
            transport.write(pending)
            for call in (*calls, "close"):
                getattr(transport, call)()
            peer.shutdown(socket.SHUT_WR)
            reader = asyncio.ensure_future(receive_all(peer))
            await eventually(lambda: protocol.lost)
            await asyncio.sleep(0.001)
            await reader
            assert protocol.lost == [None]

    run(main())


@ferroloop_only("asyncio of this Python fails in abort()", "S16.21", sys.version_info < (3, 14))
def test_abort_after_the_end(loop: Loop, run: Run) -> None:
    """S16.21: calls on a transport that is gone do nothing."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.write(BIG)
            transport.close()
            await receive_all(peer)
            await eventually(lambda: protocol.lost)
            transport.abort()
            transport.close()
            await asyncio.sleep(0.001)
            assert protocol.lost == [None]

    run(main())


def test_reset_while_closing(loop: Loop, run: Run, errors: Errors) -> None:
    """S16.21, S16.10: the error replaces the flush."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.write(BIG)
            transport.close()
            reset(peer)
            await eventually(lambda: protocol.lost)
            assert len(protocol.lost) == 1
            assert isinstance(protocol.lost[0], OSError)

    run(main())
    assert errors == []


def test_after_the_end(loop: Loop, run: Run) -> None:
    """S16.22: the socket is closed, and the answers stay sensible."""

    async def main() -> None:
        async with connection() as (transport, protocol, _):
            fd = transport.get_extra_info("socket").fileno()
            transport.close()
            await eventually(lambda: protocol.lost)
            assert not is_open(fd)
            assert transport.is_closing()
            assert not transport.is_reading()
            assert transport.get_write_buffer_size() == 0
            assert transport.get_protocol() is None
            assert transport.get_extra_info("nothing", "default") == "default"
            transport.close()
            transport.write_eof()

    run(main())


def test_shutdown_error_on_write_eof(loop: Loop, run: Run) -> None:
    """S16.23: the peer is already gone."""

    async def main() -> None:
        async with connection(lambda: Recorder(True)) as (transport, protocol, peer):
            reset(peer)
            await eventually(lambda: protocol.lost)
            transport.write_eof()
            assert len(protocol.lost) == 1

    run(main())
