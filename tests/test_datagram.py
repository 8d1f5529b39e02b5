"""S27: the datagram transport: what comes in and what goes out."""

import array
import asyncio
import os
import re
import socket
import sys
import time
from typing import Any

import pytest
from support.datagrams import Mailbox, endpoint, udp
from support.gates import before, linux_only, since
from support.loops import Loop, Run
from support.net import eventually, has_ipv6
from support.unclosed import unclosed

LOCAL = ("127.0.0.1", 0)


def test_starting_order(loop: Loop, run: Run) -> None:
    """S27.1: connection_made, then reading, then the creator."""

    async def main() -> None:
        with udp() as sock, udp() as peer:
            peer.sendto(b"early", sock.getsockname())
            async with endpoint(sock=sock) as (transport, protocol):
                assert protocol.names[0] == "made"
                assert protocol.transport is transport
                await eventually(lambda: protocol.messages == [b"early"])

    run(main())


def test_both_ways(loop: Loop, run: Run) -> None:
    """S27.1, S27.8: boundaries are kept; the address is the sender's, and of the socket module's shape."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(local_addr=LOCAL) as (transport, protocol):
                name = transport.get_extra_info("sockname")
                for message in (b"one", b"two", b"three"):
                    peer.sendto(message, name)
                await eventually(lambda: len(protocol.messages) == 3)
                assert [event[1:] for event in protocol.events[1:]] == [
                    (message, peer.getsockname()) for message in (b"one", b"two", b"three")
                ]
                assert all(type(message) is bytes for message in protocol.messages)
                address = protocol.events[1][2]
                transport.sendto(b"same tuple", address)
                transport.sendto(bytearray(b"equal tuple"), tuple(address))
                transport.sendto(memoryview(b"-view-")[1:-1], ("127.0.0.1", peer.getsockname()[1]))
                received = [peer.recvfrom(100) for _ in range(3)]
                assert received == [(b"same tuple", name), (b"equal tuple", name), (b"view", name)]

    run(main())


def test_many_peers(loop: Loop, run: Run) -> None:
    """S27.1: every datagram comes with its own sender, and goes to the one it is meant for."""

    class Echo(Mailbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            self.transport.sendto(data, addr)

    async def main() -> None:
        peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(40)]
        async with endpoint(Echo, local_addr=LOCAL) as (transport, protocol):
            for peer in peers:
                peer.bind(LOCAL)
                peer.settimeout(5)
            for n, peer in enumerate(peers * 3):
                peer.sendto(str(n).encode(), transport.get_extra_info("sockname"))
                if n % 7 == 0:
                    await asyncio.sleep(0)
            await eventually(lambda: len(protocol.messages) == 120)
            for n, peer in enumerate(peers * 3):
                assert peer.recv(10) == str(n).encode()
                peer_name = peer.getsockname()
                assert ("datagram", str(n).encode(), peer_name) in protocol.events
        for peer in peers:
            peer.close()

    run(main())


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("length", [2, 3, 4])
def test_ipv6(loop: Loop, run: Run, length: int) -> None:
    """S27.1: addresses of four parts come in; two to four may go out."""

    async def main() -> None:
        with udp("::1") as peer:
            async with endpoint(local_addr=("::1", 0)) as (transport, protocol):
                peer.sendto(b"hello", transport.get_extra_info("sockname"))
                await eventually(lambda: protocol.messages)
                assert protocol.events[1] == ("datagram", b"hello", peer.getsockname())
                for _ in range(2):
                    transport.sendto(b"answer", peer.getsockname()[:length])
                    assert peer.recv(100) == b"answer"

    run(main())


def test_large_datagrams(loop: Loop, run: Run) -> None:
    """S27.2, S0.28: the longest UDP datagram passes in one piece; a longer one is an error and no more."""

    async def main() -> None:
        with udp() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
            async with endpoint(local_addr=LOCAL) as (transport, protocol):
                data = bytes(range(251)) * 260
                peer.sendto(data, transport.get_extra_info("sockname"))
                await eventually(lambda: protocol.messages == [data])
                transport.sendto(b"x" * 65508, peer.getsockname())
                assert [type(exc) for exc in protocol.errors] == [OSError]
                transport.sendto(b"fits", peer.getsockname())
                assert peer.recv(10) == b"fits"

    run(main())


@linux_only
@pytest.mark.parametrize("change", ["by another owner", "timeout"])
def test_a_foreign_socket_that_has_become_blocking(loop: Loop, run: Run, change: str) -> None:
    """S27.1: netlink's addresses are read by the socket module, which would wait. One at an event does not."""

    async def main() -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, socket.NETLINK_USERSOCK) as peer:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, socket.NETLINK_USERSOCK)
            for one in peer, sock:
                one.bind((0, 0))
            async with endpoint(sock=sock) as (_, protocol):
                if change == "timeout":
                    sock.settimeout(5)
                else:
                    os.set_blocking(sock.fileno(), True)
                started = time.monotonic()
                for message in (b"one", b"two", b"three"):
                    peer.sendto(message, sock.getsockname())
                await eventually(lambda: protocol.messages == [b"one", b"two", b"three"])
                assert time.monotonic() - started < 4

    run(main())


def test_host_names(loop: Loop, run: Run) -> None:
    """S27.1: a name is looked up where it is sent to, as the socket module does it."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(local_addr=LOCAL) as (transport, _):
                transport.sendto(b"hello", ("localhost", peer.getsockname()[1]))
                assert peer.recv(10) == b"hello"

    run(main())


@since(3, 13)
def test_empty_datagram_is_sent(loop: Loop, run: Run) -> None:
    """S27.6, S54.1."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(local_addr=LOCAL) as (transport, _):
                transport.sendto(b"", peer.getsockname())
                assert peer.recv(10) == b""

    run(main())


@before(3, 13)
def test_empty_datagram_is_ignored(loop: Loop, run: Run) -> None:
    """S27.6: not even its address is looked at."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                transport.sendto(b"", "no address at all")
                transport.sendto(b"")
                transport.sendto(b"next")
                assert peer.recv(10) == b"next"

    run(main())


def test_empty_datagram_is_received(loop: Loop, run: Run) -> None:
    """S27.2: it is a message, and the end of nothing."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(local_addr=LOCAL) as (transport, protocol):
                for message in (b"", b"next"):
                    peer.sendto(message, transport.get_extra_info("sockname"))
                await eventually(lambda: protocol.messages == [b"", b"next"])

    run(main())


@pytest.mark.parametrize("data", ["text", 7, None, [b"x"], array.array("b", [1])])
def test_wrong_type(loop: Loop, run: Run, data: Any) -> None:
    """S27.4."""

    async def main() -> None:
        async with endpoint(local_addr=LOCAL) as (transport, protocol):
            with pytest.raises(TypeError) as caught:
                transport.sendto(data, ("127.0.0.1", 9))
            name = type(data).__name__
            assert str(caught.value) == f"data argument must be a bytes-like object, not {name!r}"
            assert not transport.is_closing()
            assert protocol.names == ["made"]

    run(main())


def test_the_peer_only(loop: Loop, run: Run) -> None:
    """S27.5: the peer's address may be given or left out, no other."""

    async def main() -> None:
        with udp() as peer:
            name = peer.getsockname()
            async with endpoint(remote_addr=name) as (transport, _):
                transport.sendto(b"default")
                transport.sendto(b"none", None)
                transport.sendto(b"given", tuple(name))
                assert [peer.recv(10) for _ in range(3)] == [b"default", b"none", b"given"]
                with pytest.raises(ValueError, match=re.escape(f"Invalid address: must be None or {name}")):
                    transport.sendto(b"other", ("127.0.0.1", 1))
                assert not transport.is_closing()

    run(main())


def test_connected_socket_ignores_addresses(loop: Loop, run: Run) -> None:
    """S26.3, S27.1: a socket connected by the program sends to its peer, whatever the address."""

    async def main() -> None:
        with udp() as peer, udp() as sock:
            sock.connect(peer.getsockname())
            async with endpoint(sock=sock) as (transport, _):
                transport.sendto(b"hello", ("127.0.0.1", 1))
                assert peer.recv(10) == b"hello"
                assert transport.get_extra_info("peername") == peer.getsockname()

    run(main())


def test_pause_reading(loop: Loop, run: Run) -> None:
    """S27.1: as every transport over a socket."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(local_addr=LOCAL) as (transport, protocol):
                transport.pause_reading()
                assert not transport.is_reading()
                peer.sendto(b"wait", transport.get_extra_info("sockname"))
                for _ in range(5):
                    await asyncio.sleep(0.001)
                assert protocol.messages == []
                transport.resume_reading()
                assert transport.is_reading()
                await eventually(lambda: protocol.messages == [b"wait"])

    run(main())


@pytest.mark.parametrize("method", ["pause_reading", "close", "abort"])
def test_stopping_between_datagrams(loop: Loop, run: Run, method: str) -> None:
    """S27.2: what waits in the socket stays there when a callback wants no more."""

    class Once(Mailbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            getattr(self.transport, method)()

    async def main() -> None:
        with udp() as peer, udp() as sock:
            for n in range(5):
                peer.sendto(bytes([n]), sock.getsockname())
            async with endpoint(Once, sock=sock) as (_, protocol):
                await eventually(lambda: protocol.messages)
                for _ in range(5):
                    await asyncio.sleep(0)
                assert protocol.messages == [b"\0"]

    run(main())


def test_others_have_their_turn(loop: Loop, run: Run) -> None:
    """S27.2, S4.14: a flood of datagrams does not keep the loop from anybody."""
    seen: list[Any] = []

    class Watcher(Mailbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            seen.append(data)
            if data == b"0":
                asyncio.get_running_loop().call_soon(seen.append, "other")

    async def main() -> None:
        with udp() as peer, udp() as sock:
            for n in range(100):
                peer.sendto(str(n).encode(), sock.getsockname())
            async with endpoint(Watcher, sock=sock):
                await eventually(lambda: len(seen) == 101)
        assert seen.index("other") < 50

    run(main())


def test_set_protocol(loop: Loop, run: Run) -> None:
    """S27.1: the next datagram goes to the new one."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(local_addr=LOCAL) as (transport, protocol):
                other = Mailbox()
                assert transport.get_protocol() is protocol
                transport.set_protocol(other)
                assert transport.get_protocol() is other
                peer.sendto(b"hello", transport.get_extra_info("sockname"))
                await eventually(lambda: other.messages == [b"hello"])
                transport.set_protocol(protocol)

    run(main())


def test_extra_info(loop: Loop, run: Run) -> None:
    """S27.1, S46.1: socket, sockname and peername."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                sock = transport.get_extra_info("socket")
                assert type(sock) is asyncio.trsock.TransportSocket
                assert sock.type == socket.SOCK_DGRAM
                assert transport.get_extra_info("sockname") == sock.getsockname()
                assert transport.get_extra_info("peername") == peer.getsockname()
                assert transport.get_extra_info("nothing", 7) == 7
            async with endpoint(local_addr=LOCAL) as (transport, _):
                assert transport.get_extra_info("peername", 7) is None

    run(main())


def test_repr(loop: Loop, run: Run) -> None:
    """S27.1, S16.25."""

    async def main() -> None:
        transport, protocol = await loop.create_datagram_endpoint(Mailbox, local_addr=LOCAL)
        fd = transport.get_extra_info("socket").fileno()
        await asyncio.sleep(0)
        assert repr(transport).endswith(f"Transport fd={fd} read=polling write=<idle, bufsize=0>>")
        transport.close()
        assert f"Transport closing fd={fd} " in repr(transport)
        await eventually(lambda: protocol.lost)
        await asyncio.sleep(0)
        assert repr(transport).endswith(f"Transport closed fd={fd}>")

    run(main())


def test_kinds(loop: Loop, run: Run) -> None:
    """S1.12."""

    async def main() -> None:
        async with endpoint(local_addr=LOCAL) as (transport, _):
            assert isinstance(transport, asyncio.Transport)
            if sys.version_info >= (3, 12):
                assert isinstance(transport, asyncio.DatagramTransport)

    run(main())


def test_forgotten_transport(loop: Loop, run: Run) -> None:
    """S16.26, S57.3: a transport nobody closed says so when it dies."""

    async def main() -> None:
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=LOCAL)
        transport.pause_reading()

    with unclosed("unclosed transport <"):
        run(main())
