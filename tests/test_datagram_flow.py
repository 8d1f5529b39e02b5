"""S27: datagrams that have to wait: queue, flow control, and what becomes of them when the endpoint ends."""

import asyncio
import socket
import sys
from typing import Any

import pytest
from support.datagrams import OVERHEAD, Mailbox, endpoint, full, take, udp
from support.gates import ferroloop_only, since
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually
from support.turns import turn

Errors = list[dict[str, Any]]

never_subtracted = ferroloop_only("what is queued counts for ever", "S27.7", sys.version_info[:3] == (3, 13, 0))


@never_subtracted
def test_what_waits_is_counted(loop: Loop, run: Run) -> None:
    """S27.7, S54.1."""

    async def main() -> None:
        async with full() as (transport, protocol, peer, _):
            for message, size, waiting in ((b"one", 3, 1), (b"", 3, 2), (b"three", 8, 3)):
                transport.sendto(message)
                assert transport.get_write_buffer_size() == size + waiting * OVERHEAD
            assert f"write=<polling, bufsize={transport.get_write_buffer_size()}>" in repr(transport)
            take(peer)
            await eventually(lambda: transport.get_write_buffer_size() == 0)
            assert take(peer) == ([b"one", b"", b"three"] if OVERHEAD else [b"one", b"three"])
            assert "write=<idle, bufsize=0>" in repr(transport)
            assert protocol.names == ["made"]

    run(main())


def test_what_waits_is_a_copy(loop: Loop, run: Run) -> None:
    """S27.8: and goes out in order."""

    async def main() -> None:
        async with full() as (transport, _, peer, count):
            data = bytearray(b"before")
            transport.sendto(data)
            transport.sendto(memoryview(data)[:3])
            data[:] = b"after!"
            transport.sendto(data)
            messages = take(peer)
            async with asyncio.timeout(5):
                while len(messages) < count + 3:
                    await asyncio.sleep(0)
                    messages += take(peer)
            assert messages[count:] == [b"before", b"bef", b"after!"]

    run(main())


@never_subtracted
def test_flow_control(loop: Loop, run: Run) -> None:
    """S17.2, S17.3, S17.7: above the high-water mark the protocol is paused, at the low one resumed."""

    async def main() -> None:
        async with full() as (transport, protocol, peer, _):
            assert transport.get_write_buffer_limits() == (16384, 65536)
            transport.set_write_buffer_limits(high=1000, low=100)
            transport.sendto(b"x" * (1000 - OVERHEAD))
            assert protocol.names == ["made"]
            transport.sendto(b"y")
            assert protocol.names == ["made", "pause"]
            transport.sendto(b"z")
            take(peer)
            await eventually(lambda: len(protocol.names) == 3)
            assert protocol.names == ["made", "pause", "resume"]
            assert transport.get_write_buffer_size() == 0

    run(main())


def test_new_limits_pause(loop: Loop, run: Run) -> None:
    """S17.4, S17.1."""

    async def main() -> None:
        async with full() as (transport, protocol, _, _):
            transport.sendto(b"waits")
            transport.set_write_buffer_limits(high=0)
            assert protocol.names == ["made", "pause"]
            with pytest.raises(ValueError, match=r"high \(1\) must be >= low \(2\) must be >= 0"):
                transport.set_write_buffer_limits(high=1, low=2)

    run(main())


@since(3, 13)
def test_empty_datagrams_press(loop: Loop, run: Run) -> None:
    """S27.7, S54.1: a writer of nothing but empty ones is paused, too."""

    async def main() -> None:
        async with full() as (transport, protocol, _, _):
            for _ in range(65536 // 8):
                transport.sendto(b"")
            assert protocol.names == ["made"]
            transport.sendto(b"")
            assert protocol.names == ["made", "pause"]

    run(main())


def test_close_sends_what_waits(loop: Loop, run: Run) -> None:
    """S27.11: then connection_lost(None); what is sent meanwhile goes, too."""

    async def main() -> None:
        async with full() as (transport, protocol, peer, count):
            transport.sendto(b"one")
            transport.close()
            assert transport.is_closing()
            transport.sendto(b"two")
            for _ in range(3):
                await asyncio.sleep(0)
            assert protocol.lost == []
            messages = take(peer)
            await eventually(lambda: protocol.lost == [None])
            assert (messages + take(peer))[count:] == [b"one", b"two"]

    run(main())


@pytest.mark.parametrize("closed", [False, True])
def test_abort_drops_what_waits(loop: Loop, run: Run, closed: bool) -> None:
    """S27.11."""

    async def main() -> None:
        async with full() as (transport, protocol, peer, count):
            transport.sendto(b"never")
            if closed:
                transport.close()
            transport.abort()
            assert transport.get_write_buffer_size() in (0, 5 + OVERHEAD)
            await eventually(lambda: protocol.lost == [None])
            assert len(take(peer)) == count
            assert protocol.names == ["made", "lost"]

    run(main())


def test_close_without_queue(loop: Loop, run: Run) -> None:
    """S27.11: in a later step, once."""

    async def main() -> None:
        transport, protocol = await loop.create_datagram_endpoint(Mailbox, local_addr=("127.0.0.1", 0))
        transport.close()
        transport.close()
        assert protocol.names == ["made"]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert protocol.names == ["made", "lost"]
        assert protocol.lost == [None]

    run(main())


def test_nothing_is_read_while_closing(loop: Loop, run: Run) -> None:
    """S27.11: although the peer still sends."""

    async def main() -> None:
        async with full() as (transport, protocol, peer, _):
            name = f"{transport.get_extra_info('peername')}-back"
            transport.get_extra_info("socket")._sock.bind(name)
            transport.sendto(b"waits")
            transport.close()
            assert not transport.is_reading()
            peer.sendto(b"unheard", name)
            for _ in range(3):
                await asyncio.sleep(0)
            assert protocol.messages == []
            take(peer)
            await eventually(lambda: protocol.lost == [None])
            assert protocol.messages == []

    run(main())


def test_sends_after_the_end(loop: Loop, run: Run, logged: LogList) -> None:
    """S27.10, S0.24: with a peer they are dropped and counted."""

    async def main() -> None:
        with udp() as peer:
            transport, protocol = await loop.create_datagram_endpoint(Mailbox, remote_addr=peer.getsockname())
            transport.abort()
            for n in range(7):
                transport.sendto(b"late")
                assert logged.texts().count("socket.send() raised exception.") == max(0, n - 3)
            await eventually(lambda: protocol.lost)
            assert protocol.errors == []
            peer.setblocking(False)
            with pytest.raises(BlockingIOError):
                peer.recv(10)

    run(main())


def test_last_words(loop: Loop, run: Run) -> None:
    """S27.10: an endpoint without a peer still sends until its socket is closed."""

    async def main() -> None:
        with udp() as peer:
            transport, protocol = await loop.create_datagram_endpoint(Mailbox, local_addr=("127.0.0.1", 0))
            transport.close()
            transport.sendto(b"bye", peer.getsockname())
            assert peer.recv(10) == b"bye"
            await eventually(lambda: protocol.lost == [None])

    run(main())


@ferroloop_only("AttributeError: 'NoneType' object has no attribute 'call_exception_handler'", "S27.10")
def test_no_words_after_the_last(loop: Loop, run: Run, logged: LogList) -> None:
    """S27.10: without a peer and a socket they are dropped and counted."""

    async def main() -> None:
        transport, protocol = await loop.create_datagram_endpoint(Mailbox, local_addr=("127.0.0.1", 0))
        transport.abort()
        await eventually(lambda: transport.get_extra_info("socket").fileno() == -1)
        for _ in range(7):
            transport.sendto(b"late", ("127.0.0.1", 9))
        assert logged.texts().count("socket.send() raised exception.") == 3
        assert protocol.names == ["made", "lost"]

    run(main())


def test_an_error_costs_one_datagram(loop: Loop, run: Run) -> None:
    """S27.9: the rest of the queue is tried at the next event."""

    async def main() -> None:
        async with full() as (transport, protocol, peer, count):
            transport.sendto(b"x" * (1 << 22))  # more than a Unix datagram may be
            transport.sendto(b"one")
            transport.sendto(b"two")
            messages = take(peer)
            async with asyncio.timeout(5):
                while len(messages) < count + 2 or not protocol.errors:
                    await asyncio.sleep(0)
                    messages += take(peer)
            assert messages[count:] == [b"one", b"two"]
            assert [type(exc) for exc in protocol.errors] == [OSError]
            await eventually(lambda: transport.get_write_buffer_size() <= 3 * OVERHEAD)

    run(main())


def test_the_peer_goes_while_datagrams_wait(loop: Loop, run: Run) -> None:
    """S27.9: each is an error of its own; the endpoint lives on, and can be closed."""

    async def main() -> None:
        async with full() as (transport, protocol, peer, _):
            transport.sendto(b"one")
            transport.sendto(b"two")
            peer.close()
            await eventually(lambda: len(protocol.errors) == 2)
            assert isinstance(protocol.errors[0], ConnectionRefusedError)
            assert not transport.is_closing()
            transport.close()
            await eventually(lambda: protocol.lost == [None])

    run(main())


def test_waiting_for_an_unconnected_peer(loop: Loop, run: Run, tmp_path: Any) -> None:
    """S27.8: datagrams to several peers keep their order, also those whose addresses only Python can read."""
    here, there = str(tmp_path / "here"), str(tmp_path / "there")

    async def main() -> None:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as two,
        ):
            one.bind(here)
            two.bind(there)
            one.setblocking(False)
            two.setblocking(False)
            async with endpoint(family=socket.AF_UNIX) as (transport, protocol):
                count = 0
                while transport.get_write_buffer_size() == 0:
                    transport.sendto(b"%d" % count, here)
                    count += 1
                transport.sendto(b"other", there)
                transport.sendto(b"last", memoryview(here.encode()))
                messages = take(one)
                async with asyncio.timeout(5):
                    while len(messages) < count + 1:
                        await asyncio.sleep(0)
                        messages += take(one)
                assert messages == [b"%d" % n for n in range(count)] + [b"last"]
                assert take(two) == [b"other"]
                assert protocol.names == ["made"]

    run(main())


def test_flow_control_failures(loop: Loop, run: Run, errors: Errors) -> None:
    """S17.5: are reported, and the endpoint lives on."""

    class Failing(Mailbox):
        def pause_writing(self) -> None:
            raise LookupError("mine")

    async def main() -> None:
        async with full(Failing) as (transport, _, _, _):
            transport.set_write_buffer_limits(high=0)
            transport.sendto(b"waits")
            assert [context["message"] for context in errors] == ["protocol.pause_writing() failed"]
            assert not transport.is_closing()

    run(main())


def test_closing_the_loop_first(loop: Loop) -> None:
    """S2.22: an endpoint that outlives its loop can still be closed."""
    transport, protocol = loop.run_until_complete(loop.create_datagram_endpoint(Mailbox, local_addr=("127.0.0.1", 0)))
    transport.abort()
    turn(loop, 2)
    assert protocol.lost == [None]
    loop.close()
    assert repr(transport).startswith("<")
    transport.close()
