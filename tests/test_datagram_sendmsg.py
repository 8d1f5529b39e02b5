"""S27: datagrams with ancillary data, sent: `sendmsg` of a datagram endpoint.

asyncio has no such method. What it has in common with `sendto` is asked of it here, too.
"""

import asyncio
import contextlib
import errno
import os
import socket
import struct
from typing import Any

import pytest
from support.datagrams import OVERHEAD, Messages, endpoint, full, udp, unix
from support.fds import no_descriptors, open_fds
from support.gates import ferroloop_only, linux_only
from support.loops import Loop, Run
from support.net import eventually
from support.rights import INT, ROOM, descriptors, is_same, rights
from support.sock import refusal

pytestmark = ferroloop_only("asyncio has no such method", spec="S27.1")

Errors = list[dict[str, Any]]


LOCAL = ("127.0.0.1", 0)

# The number of ip(7) on Linux that the socket module has from Python 3.12 on.
IP_PKTINFO = 8
# Those of udp(7), which it has not.
UDP_SEGMENT, UDP_GRO = 103, 104


def empty(peer: socket.socket, count: int) -> None:
    """Take what `full()` has filled the peer with."""
    for _ in range(count):
        assert peer.recv(1) == b""


@linux_only
def test_sends(loop: Loop, run: Run) -> None:
    """S27.1: with a mark for congestion, and from the address that the datagram says."""

    async def main() -> None:
        with udp() as peer:
            peer.setsockopt(socket.SOL_IP, socket.IP_RECVTOS, 1)
            async with endpoint(Messages, local_addr=("0.0.0.0", 0)) as (transport, protocol):
                _, port = transport.get_extra_info("sockname")
                tos = (socket.SOL_IP, socket.IP_TOS, bytearray(struct.pack("i", 3)))
                source = struct.pack("i4s4s", 0, socket.inet_aton("127.0.0.2"), bytes(4))
                mark = (socket.SOL_IP, socket.IP_TOS, b"\3")
                transport.sendmsg(b"marked", [tos], peer.getsockname())
                assert peer.recvmsg(10, 100) == (b"marked", [mark], 0, ("127.0.0.1", port))
                items = (item for item in [(socket.SOL_IP, IP_PKTINFO, source), tos])
                transport.sendmsg(memoryview(b"from"), ancdata=items, addr=peer.getsockname())
                assert peer.recvmsg(10, 100) == (b"from", [mark], 0, ("127.0.0.2", port))
                transport.sendmsg(bytearray(b"plain"), addr=peer.getsockname())
                assert peer.recvmsg(10, 100)[0] == b"plain"
                assert protocol.names == ["made"]

    run(main())


@linux_only
def test_bursts(loop: Loop, run: Run) -> None:
    """Segmentation offload: one message is many datagrams, and many that come in are one message."""

    async def main() -> None:
        burst = bytes(range(250)) * 10
        cut = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("H", 1000))]
        with udp() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as (transport, _):
                transport.sendmsg(burst, cut)
                assert [peer.recv(5000) for _ in range(3)] == [burst[:1000], burst[1000:2000], burst[2000:]]
        async with endpoint(Messages, local_addr=LOCAL) as (receiving, protocol):
            receiving.get_extra_info("socket").setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
            async with endpoint(remote_addr=receiving.get_extra_info("sockname")) as (sending, _):
                sending.sendmsg(burst, cut)
                address = sending.get_extra_info("sockname")
                await eventually(lambda: protocol.received)
        joined = (socket.IPPROTO_UDP, UDP_GRO, struct.pack("i", 1000))
        assert protocol.received == [(burst, [joined], 0, address)]

    run(main())


def test_items_are_sequences(loop: Loop, run: Run) -> None:
    """Lists as well, as for `socket.sendmsg`."""

    async def main() -> None:
        async with unix() as (transport, _, peer):
            transport.sendmsg(b"data", [list(rights(peer))])
            data, ancdata, _, _ = peer.recvmsg(10, ROOM)
            assert data == b"data"
            assert is_same(*descriptors(ancdata), peer)

    run(main())


def test_a_full_socket_that_has_become_blocking(loop: Loop, run: Run) -> None:
    """S27.1: the message waits, and not the loop."""

    async def main() -> None:
        async with full(Messages) as (transport, _, peer, count):
            os.set_blocking(transport.get_extra_info("socket").fileno(), True)
            transport.sendmsg(b"waits")
            assert transport.get_write_buffer_size() == 5 + OVERHEAD
            empty(peer, count)
            await eventually(lambda: transport.get_write_buffer_size() == 0)
            assert peer.recv(10) == b"waits"

    run(main())


def test_waiting(loop: Loop, run: Run) -> None:
    """S17.2, S17.3, S27.7, S27.8: in one queue with sendto's, with copies of everything."""

    async def main() -> None:
        async with full(Messages) as (transport, protocol, peer, count):
            transport.set_write_buffer_limits(high=100, low=0)
            data, number = bytearray(b"second"), bytearray(rights(peer)[2])
            transport.sendto(b"first")
            transport.sendmsg(data, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, number)])
            data[:], number[:] = b"change", bytes(INT)
            transport.sendto(b"third")
            transport.sendmsg(b"fourth")
            assert transport.get_write_buffer_size() == 22 + 4 * OVERHEAD
            assert protocol.names == ["made"]
            transport.sendmsg(b"x" * 100)
            assert protocol.names == ["made", "pause"]
            empty(peer, count)
            await eventually(lambda: transport.get_write_buffer_size() == 0)
            received = [peer.recvmsg(200, ROOM) for _ in range(5)]
            assert [message[0] for message in received] == [b"first", b"second", b"third", b"fourth", b"x" * 100]
            fds = [descriptors(message[1]) for message in received]
            assert [len(of_message) for of_message in fds] == [0, 1, 0, 0, 0]
            assert is_same(fds[1][0], peer)
            await eventually(lambda: protocol.names == ["made", "pause", "resume"])

    run(main())


@pytest.mark.parametrize("closing", [False, True])
def test_waiting_descriptors(loop: Loop, run: Run, closing: bool) -> None:
    """S27.11: the caller closes his at once, and ours are closed as soon as they are sent."""

    async def main() -> None:
        async with full(Messages) as (transport, protocol, peer, count):
            before = open_fds()
            reader, writer = os.pipe()
            with open(reader, "rb", 0) as source, open(writer, "wb", 0) as sink:
                transport.sendmsg(b"", [rights(source)])
                transport.sendmsg(b"", [rights(sink, sink)])
            assert len(open_fds()) > len(before)
            if closing:
                transport.close()
            empty(peer, count)
            room = socket.CMSG_SPACE(2 * INT)
            received: list[int] = []
            async with asyncio.timeout(5):
                while len(received) < 3:
                    await asyncio.sleep(0)
                    with contextlib.suppress(BlockingIOError):
                        received += descriptors(peer.recvmsg(10, room)[1])
            reader, *writers = received
            os.write(writers[-1], b"through")
            for writer in writers:
                os.close(writer)
            assert os.read(reader, 10) == b"through"
            assert os.read(reader, 10) == b""  # nobody has kept the other end
            os.close(reader)
            await eventually(lambda: open_fds().keys() <= before.keys())
            assert protocol.errors == []

    run(main())


def test_abort_closes_waiting_descriptors(loop: Loop, run: Run) -> None:
    """S27.11: with the messages that are dropped."""

    async def main() -> None:
        async with full(Messages) as (transport, protocol, peer, count):
            before = open_fds()
            transport.sendmsg(b"never", [rights(peer)])
            assert len(open_fds()) == len(before) + 1
            transport.abort()
            assert open_fds() == before
            transport.sendmsg(b"late", [rights(peer)])
            assert open_fds() == before
            await eventually(lambda: protocol.lost == [None])
            empty(peer, count)
            with pytest.raises(BlockingIOError):
                peer.recv(10)

    run(main())


def test_an_error_costs_one_message(loop: Loop, run: Run) -> None:
    """S27.9: its descriptors are closed, too, and the rest of the queue is sent."""

    async def main() -> None:
        async with full(Messages) as (transport, protocol, peer, count):
            before = open_fds()
            transport.sendmsg(b"x" * (1 << 22), [rights(peer)])  # more than a Unix datagram may be
            transport.sendmsg(b"next", [rights(peer)])
            empty(peer, count)
            await eventually(lambda: protocol.errors and transport.get_write_buffer_size() == 0)
            assert [exc.errno for exc in protocol.errors] == [errno.EMSGSIZE]
            data, ancdata, _, _ = peer.recvmsg(10, ROOM)
            assert data == b"next"
            assert is_same(*descriptors(ancdata), peer)
            assert open_fds() == before

    run(main())


def test_no_descriptor_to_send(loop: Loop, run: Run) -> None:
    """S27.3: the error is of one message, whether it would have to wait or not."""
    nothing = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 1 << 20))

    async def main() -> None:
        async with unix() as (transport, protocol, peer):
            transport.sendmsg(b"data", [nothing])
            assert [exc.errno for exc in protocol.errors] == [errno.EBADF]
            with pytest.raises(BlockingIOError):
                peer.recv(10)
        async with full(Messages) as (transport, protocol, peer, _):
            transport.sendmsg(b"data", [nothing])
            before = open_fds()
            transport.sendmsg(b"data", [rights(peer), nothing])
            assert open_fds() == before
            with no_descriptors():
                transport.sendmsg(b"data", [rights(peer)])
            assert [exc.errno for exc in protocol.errors] == [errno.EBADF, errno.EBADF, errno.EMFILE]
            assert transport.get_write_buffer_size() == 0
            assert not transport.is_closing()

    run(main())


def test_addresses(loop: Loop, run: Run) -> None:
    """S27.5, S27.3: the peer's and no other; without a peer there has to be one."""

    async def main() -> None:
        with udp() as peer:
            name = peer.getsockname()
            async with endpoint(remote_addr=name) as (transport, protocol):
                with pytest.raises(ValueError, match=r"Invalid address: must be None or \('127.0.0.1', \d+\)"):
                    transport.sendmsg(b"x", [], LOCAL)
                transport.sendmsg(b"data", addr=name)
                assert peer.recv(10) == b"data"
            async with endpoint(remote_addr=name, allow_broadcast=True) as (transport, protocol):
                transport.sendmsg(b"more")
                assert peer.recv(10) == b"more"
            async with endpoint(local_addr=LOCAL) as (transport, protocol):
                transport.sendmsg(b"whom?")
                assert [exc.errno for exc in protocol.errors] in ([errno.EDESTADDRREQ], [errno.ENOTCONN])
                transport.sendmsg(b"by name", addr=("localhost", name[1]))
                assert peer.recv(10) == b"by name"
            connected = socket.socket(type=socket.SOCK_DGRAM)
            connected.connect(name)
            async with endpoint(sock=connected) as (transport, protocol):
                transport.sendmsg(b"to the peer", addr=("127.0.0.1", 9))
                assert peer.recv(20) == b"to the peer"

    run(main())


def test_no_address(loop: Loop, run: Run, errors: Errors) -> None:
    """S27.3: what is no address is fatal, with the socket module's words."""

    async def main() -> None:
        transport, protocol = await loop.create_datagram_endpoint(Messages, local_addr=LOCAL)
        transport.sendmsg(b"x", [], ("127.0.0.1", 99999))
        await eventually(lambda: protocol.lost)
        assert isinstance(protocol.lost[0], OverflowError)
        assert [context["message"] for context in errors] == ["Fatal write error on datagram transport"]

    run(main())


@pytest.mark.parametrize(
    "args",
    [
        ("text",),
        (7,),
        (b"x", 7),
        (b"x", [7]),
        (b"x", [(1, 2)]),
        (b"x", [(1, 2, "text")]),
        (b"x", [(1, 2, 3)]),
        (b"x", [("1", 2, b"")]),
        (b"x", [(1 << 40, 2, b"")]),
    ],
)
def test_refused_data(loop: Loop, run: Run, args: Any) -> None:
    """S27.4: an error of the call, of the socket's kind; nothing is sent."""

    async def main() -> None:
        async with unix() as (transport, protocol, peer):
            kind, _ = refusal(peer.sendmsg, [args[0]], *args[1:])
            with pytest.raises(kind) as caught:
                transport.sendmsg(*args)
            if not isinstance(args[0], bytes):
                assert str(caught.value) == refusal(transport.sendto, *args)[1]
            with pytest.raises(BlockingIOError):
                peer.recv(10)
            assert protocol.names == ["made"]

    run(main())
