"""S16: the stream transport: starting, reading, its protocol, what it tells about itself."""

import asyncio
import re
import socket
from typing import Any

import pytest
from support.fds import is_open
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.messages import varied_messages
from support.net import connection, eventually, receive_all, send, tcp_pair, unix_pair
from support.protocols import Recorder
from support.turns import turn
from support.unclosed import unclosed

Errors = list[dict[str, Any]]


def test_starting_order(loop: Loop) -> None:
    """S16.1: connection_made, then reading, then the creator; each through the ready queue."""
    left, right = unix_pair()
    right.send(b"early")
    seen: list[str] = []

    class Protocol(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            seen.append("made")
            loop.call_soon(seen.append, "after made")

        def data_received(self, data: bytes) -> None:
            seen.append("data")

    async def main() -> None:
        loop.call_soon(seen.append, "before")
        transport, _ = await loop.create_connection(Protocol, sock=left)
        seen.append("created")
        await asyncio.sleep(0.001)
        transport.abort()
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    right.close()
    assert seen[:2] == ["before", "made"]
    assert sorted(seen) == ["after made", "before", "created", "data", "made"]
    assert seen.index("made") < seen.index("created")


def test_nothing_is_read_before_made(loop: Loop) -> None:
    """S16.1."""
    left, right = unix_pair()
    right.send(b"early")
    protocol = Recorder()
    task = loop.create_task(loop.create_connection(lambda: protocol, sock=left))
    turns = 0
    while not protocol.events:
        turn(loop)
        turns += 1
    assert protocol.names == ["made"]
    assert turns <= 3
    transport, _ = loop.run_until_complete(task)
    turn(loop, 2)
    assert protocol.data == b"early"
    transport.abort()
    turn(loop)
    right.close()


@pytest.mark.parametrize("method", ["pause_reading", "close", "abort"])
def test_connection_made_may_stop_reading(loop: Loop, run: Run, method: str) -> None:
    """S16.2."""
    left, right = unix_pair()
    right.send(b"unread")

    class Protocol(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            getattr(transport, method)()

    async def main() -> None:
        transport, protocol = await loop.create_connection(Protocol, sock=left)
        await asyncio.sleep(0.002)
        assert protocol.names == (["made"] if method == "pause_reading" else ["made", "lost"])
        transport.abort()
        await asyncio.sleep(0)

    run(main())
    right.close()


def test_tcp_nodelay(loop: Loop, run: Run) -> None:
    """S16.3."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0

    run(main())


def test_pieces_are_at_most_256_kib(loop: Loop, run: Run) -> None:
    """S16.5, S0.28: however much is there."""
    left, right = tcp_pair()
    left.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    right.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    data = bytes(range(256)) * 4096

    async def main() -> None:
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        transport.pause_reading()
        sender = asyncio.ensure_future(send(right, data))
        await asyncio.sleep(0.02)
        transport.resume_reading()
        await sender
        await eventually(lambda: len(protocol.data) == len(data))
        sizes = [len(event[1]) for event in protocol.events if event[0] == "data"]
        assert max(sizes) <= 262144
        assert all(type(event[1]) is bytes for event in protocol.events if event[0] == "data")
        assert protocol.data == data
        transport.abort()
        await asyncio.sleep(0)

    run(main())
    right.close()


@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
def test_messages_of_all_sizes(loop: Loop, run: Run, pair: Any) -> None:
    """S16.5: one after the other, small after large and back; what came stays what it was."""
    messages = varied_messages()

    async def main() -> None:
        async with connection(pair=pair) as (_, protocol, peer):
            for count, message in enumerate(messages, 1):
                await send(peer, message)
                await eventually(lambda count=count: protocol.data == b"".join(messages[:count]))
            assert all(type(event[1]) is bytes for event in protocol.events if event[0] == "data")

    run(main())


def test_data_comes_once_per_iteration(loop: Loop) -> None:
    """S16.5, S4.12: other callbacks get their turn between two reads."""
    left, right = unix_pair()
    protocol = Recorder()
    task = loop.create_task(loop.create_connection(lambda: protocol, sock=left))
    transport, _ = loop.run_until_complete(task)
    turn(loop)
    for n in range(3):
        right.send(bytes([n]))
        turn(loop)
    assert [event[1] for event in protocol.events if event[0] == "data"] == [b"\0", b"\1", b"\2"]
    transport.abort()
    turn(loop)
    right.close()


@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
@pytest.mark.parametrize("result", [None, False, 0])
def test_eof_closes(loop: Loop, run: Run, pair: Any, result: Any) -> None:
    """S16.8: what is buffered is sent first."""

    async def main() -> None:
        async with connection(lambda: Recorder(result), pair) as (transport, protocol, peer):
            transport.write(b"x" * 4_000_000)
            peer.shutdown(socket.SHUT_WR)
            await eventually(transport.is_closing)
            assert len(await receive_all(peer)) == 4_000_000
            await eventually(lambda: protocol.lost)
            assert [n for n in protocol.names if n not in ("pause", "resume")] == [
                "made",
                "eof",
                "lost",
            ]
            assert protocol.lost == [None]

    run(main())


def test_eof_may_keep_the_write_side(loop: Loop, run: Run) -> None:
    """S16.8: and stops reading."""

    async def main() -> None:
        async with connection(lambda: Recorder(True)) as (transport, protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            await eventually(lambda: ("eof",) in protocol.events)
            await asyncio.sleep(0.005)
            assert protocol.names == ["made", "eof"]
            assert not transport.is_closing()
            transport.write(b"answer")
            transport.close()
            assert await receive_all(peer) == b"answer"
            await eventually(lambda: protocol.lost)
            assert protocol.names == ["made", "eof", "lost"]

    run(main())


@ferroloop_only("asyncio reads the end again after resume_reading", "S16.8")
def test_eof_is_told_once(loop: Loop, run: Run) -> None:
    """S16.8, S0.6: reading has stopped for good."""

    async def main() -> None:
        async with connection(lambda: Recorder(True)) as (transport, protocol, peer):
            peer.shutdown(socket.SHUT_WR)
            await eventually(lambda: ("eof",) in protocol.events)
            transport.pause_reading()
            transport.resume_reading()
            await asyncio.sleep(0.003)
            assert protocol.names == ["made", "eof"]

    run(main())


def test_eof_is_news_to_another_protocol(loop: Loop, run: Run) -> None:
    """S16.8: one that was set while reading was paused, as `start_tls` does."""

    async def main() -> None:
        async with connection(lambda: Recorder(True)) as (transport, first, peer):
            peer.shutdown(socket.SHUT_WR)
            await eventually(lambda: ("eof",) in first.events)
            transport.pause_reading()
            second = Recorder()
            transport.set_protocol(second)
            transport.resume_reading()
            await eventually(lambda: second.lost)
            assert second.names == ["eof", "lost"]
            assert first.names == ["made", "eof"]

    run(main())


def test_pause_and_resume_reading(loop: Loop, run: Run) -> None:
    """S16.24."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            assert transport.is_reading()
            transport.pause_reading()
            transport.pause_reading()
            assert not transport.is_reading()
            peer.send(b"data")
            await asyncio.sleep(0.005)
            assert protocol.data == b""
            transport.resume_reading()
            transport.resume_reading()
            assert transport.is_reading()
            await eventually(lambda: protocol.data == b"data")
            transport.close()
            assert not transport.is_reading()
            transport.resume_reading()
            transport.pause_reading()
            assert not transport.is_reading()

    run(main())


def test_pause_in_data_received(loop: Loop, run: Run) -> None:
    """S16.24: takes effect at once."""

    class Pausing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    async def main() -> None:
        async with connection(Pausing) as (transport, protocol, peer):
            for n in range(1, 4):
                peer.send(b"x")
                await eventually(lambda n=n: len(protocol.data) == n)
                peer.send(b"x")
                await asyncio.sleep(0.003)
                assert len(protocol.data) == n
                transport.resume_reading()
                await eventually(lambda n=n: len(protocol.data) == n + 1)
                protocol.events.pop()
                transport.resume_reading()

    run(main())


def test_set_protocol(loop: Loop, run: Run) -> None:
    """S16.7: from one call to the next, also from inside a call."""

    class First(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.set_protocol(second)

    second = Recorder()

    async def main() -> None:
        async with connection(First) as (transport, first, peer):
            assert transport.get_protocol() is first
            peer.send(b"one")
            await eventually(lambda: first.data == b"one")
            assert transport.get_protocol() is second
            peer.send(b"two")
            await eventually(lambda: second.data == b"two")
            transport.close()
            await eventually(lambda: second.lost)
            assert first.names == ["made", "data"]
            assert second.names == ["data", "lost"]

    run(main())


def test_repr(loop: Loop, run: Run) -> None:
    """S16.25."""

    async def main() -> None:
        async with connection() as (transport, _, _):
            await asyncio.sleep(0)
            name, fd = type(transport).__name__, transport.get_extra_info("socket").fileno()
            assert repr(transport) == f"<{name} fd={fd} read=polling write=<idle, bufsize=0>>"
            transport.pause_reading()
            assert repr(transport) == f"<{name} fd={fd} read=idle write=<idle, bufsize=0>>"
            transport.write(b"x" * 8_000_000)
            size = transport.get_write_buffer_size()
            assert size > 0
            text = f"<{name} fd={fd} read=idle write=<polling, bufsize={size}>>"
            assert repr(transport) == text
            transport.close()
            text = f"<{name} closing fd={fd} read=idle write=<polling, bufsize={size}>>"
            assert repr(transport) == text
            transport.abort()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert re.match(rf"<{name} closed fd={fd}", repr(transport))

    run(main())


def test_repr_on_a_closed_loop(loop: Loop) -> None:
    """S16.25: no read and write parts."""
    left, right = unix_pair()
    transport, protocol = loop.run_until_complete(loop.create_connection(Recorder, sock=left))
    loop.close()
    assert repr(transport) == f"<{type(transport).__name__} fd={left.fileno()}>"
    right.close()
    del left
    with unclosed("unclosed transport <"):
        del transport, protocol


def test_unclosed_transport(loop: Loop, run: Run) -> None:
    """S16.26, S57.3, S0.9: dropped, it warns and closes its socket."""
    socks: list[socket.socket] = [*unix_pair()]
    fd = socks[0].fileno()

    async def main() -> None:
        transport, protocol = await loop.create_connection(Recorder, sock=socks[0])
        transport.pause_reading()
        protocol.transport = None

    with unclosed("unclosed transport <"):
        run(main())
        right = socks[1]
        socks.clear()
    assert not is_open(fd)
    right.close()


def test_classes(loop: Loop, run: Run) -> None:
    """S1.12."""

    async def main() -> None:
        async with connection() as (transport, _, _):
            assert isinstance(transport, asyncio.BaseTransport)
            assert isinstance(transport, asyncio.Transport)
            assert isinstance(transport, asyncio.ReadTransport)
            assert isinstance(transport, asyncio.WriteTransport)
            assert not isinstance(transport, asyncio.DatagramTransport)

    run(main())
