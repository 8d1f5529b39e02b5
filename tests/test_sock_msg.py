"""Messages with ancillary data: sock_recvmsg, sock_recvmsg_into and sock_sendmsg (S25).

asyncio has no such calls: the oracle is the socket's own method, called when it need not wait. What they have in common
with the other sock_* calls is tested with these.
"""

import asyncio
import contextlib
import os
import select
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from support.cancelling import cancel_everywhere
from support.gates import ferroloop_only, linux_only
from support.loops import Loop, Run
from support.net import connection, receive
from support.rights import INT, ROOM, descriptors, is_same, rights
from support.sock import at_once, fill, refusal

pytestmark = ferroloop_only("asyncio has no such calls", spec="S25.1")

Pair = tuple[socket.socket, socket.socket]

# Numbers of ip(7) and socket(7) on Linux that the socket module has on newer Pythons only, or not at all.
IP_PKTINFO = 8
IP_RECVERR = 11
IP_RECVTTL = 12
SO_TIMESTAMPNS = 35


@pytest.fixture
def messages() -> Iterator[Pair]:
    """Two connected non-blocking Unix sockets for datagrams."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


@linux_only
@pytest.mark.parametrize("waits", [False, True], ids=["at once", "waits"])
@pytest.mark.parametrize("option", [IP_PKTINFO, IP_RECVTTL, socket.IP_RECVTOS], ids=["pktinfo", "ttl", "ecn"])
def test_udp(loop: Loop, run: Run, datagrams: Pair, option: int, waits: bool) -> None:
    """S25.1: where a datagram came in, how far it has gone, whether the network is congested."""
    left, right = datagrams
    left.setsockopt(socket.SOL_IP, socket.IP_TOS, 2)
    right.setsockopt(socket.SOL_IP, option, 1)

    async def main() -> None:
        receiving = asyncio.ensure_future(loop.sock_recvmsg(right, 100, 100))
        if waits:
            await asyncio.sleep(0)
        for _ in range(2):
            assert await loop.sock_sendmsg(left, [b"da", b"ta"], address=right.getsockname()) == 4
        received = await receiving
        assert received == right.recvmsg(100, 100)
        (_, kind, content), *_ = received[1]
        if option == socket.IP_RECVTOS:
            assert (kind, content) == (socket.IP_TOS, b"\2")
        elif option == IP_PKTINFO:
            assert content.endswith(socket.inet_aton("127.0.0.1"))
        else:
            assert struct.unpack("i", content)[0] == left.getsockopt(socket.SOL_IP, socket.IP_TTL)

    run(main())


@linux_only
def test_peek(loop: Loop, datagrams: Pair) -> None:
    """S25.1: the same message again, at its time of arrival."""
    left, right = datagrams
    right.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    left.sendto(b"data", right.getsockname())
    peeked = at_once(loop.sock_recvmsg(right, 100, 100, socket.MSG_PEEK))
    assert peeked[0] == b"data"
    assert len(peeked[1]) == 1
    assert at_once(loop.sock_recvmsg(right, 100, 100)) == peeked
    with pytest.raises(BlockingIOError):
        right.recv(100)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["stream", "datagrams"])
@pytest.mark.parametrize("waits", [False, True], ids=["at once", "waits"])
def test_descriptors(loop: Loop, run: Run, kind: int, waits: bool) -> None:
    """S25.1: as many as there is room for, another message's are not among them."""
    left, right = socket.socketpair(socket.AF_UNIX, kind)
    left.setblocking(False)
    right.setblocking(False)
    room = socket.CMSG_SPACE(2 * INT)

    async def main() -> None:
        receiving = asyncio.ensure_future(loop.sock_recvmsg(right, 100, room))
        if waits:
            await asyncio.sleep(0)
        assert await loop.sock_sendmsg(left, [b"two"], [rights(left, right)]) == 3
        assert await loop.sock_sendmsg(left, [b"one"], [rights(left)]) == 3
        for message, expected in (await receiving, [left, right]), (right.recvmsg(100, room), [left]):
            fds = descriptors(message[1])
            assert [is_same(fd, file) for fd, file in zip(fds, expected, strict=True)] == [True] * len(expected)
            assert message[0] == (b"two" if expected[1:] else b"one")

    with left, right:
        run(main())


@linux_only
def test_inheritance(loop: Loop, pair: Pair) -> None:
    """S25.1: the flags decide, as with the socket's own method."""
    left, right = pair
    for flags in 0, socket.MSG_CMSG_CLOEXEC:
        left.sendmsg([b"x"], [rights(left)])
        (fd,) = descriptors(at_once(loop.sock_recvmsg(right, 1, ROOM, flags))[1])
        assert os.get_inheritable(fd) is (flags == 0)
        assert is_same(fd, left)


@linux_only
def test_credentials(loop: Loop, messages: Pair) -> None:
    """S25.1: unix(7), SO_PASSCRED."""
    left, right = messages
    right.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    credentials = struct.pack("3i", os.getpid(), os.getuid(), os.getgid())
    item = (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)
    for ancdata in [], [item]:
        assert at_once(loop.sock_sendmsg(left, [b"who"], ancdata)) == 3
        assert at_once(loop.sock_recvmsg(right, 10, socket.CMSG_SPACE(12)))[:2] == (b"who", [item])


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "waits"])
def test_several_buffers(loop: Loop, run: Run, pair: Pair, waits: bool) -> None:
    """S25.1: filled one after the other, though an iterator names them only once."""
    left, right = pair
    buffers = [bytearray(2), bytearray(), bytearray(3), memoryview(bytearray(10))]

    async def main() -> None:
        receiving = asyncio.ensure_future(loop.sock_recvmsg_into(right, iter(buffers), ROOM))
        if waits:
            await asyncio.sleep(0)
        left.sendmsg([b"1234567"], [rights(left)])
        length, ancdata, msg_flags, address = await receiving
        assert length == 7
        assert [bytes(buffer) for buffer in buffers] == [b"12", b"", b"345", b"67" + bytes(8)]
        (fd,) = descriptors(ancdata)
        assert is_same(fd, left)
        left.send(b"7654321")
        assert right.recvmsg_into([bytearray(10)]) == (7, [], msg_flags, address)

    run(main())


def test_send_waits(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.7: with all it was given, though iterators give it only once."""
    left, right = pair
    filled = fill(left)

    async def main() -> None:
        pieces, ancdata = iter([b"da", bytearray(b"ta")]), iter([rights(left)])
        sending = asyncio.ensure_future(loop.sock_sendmsg(left, pieces, ancdata))
        await asyncio.sleep(0)
        assert not sending.done()
        assert await receive(right, filled) == b"x" * filled
        assert await sending == 4
        data, ancdata, _, _ = await loop.sock_recvmsg(right, 10, ROOM)
        assert data == b"data"
        (fd,) = descriptors(ancdata)
        assert is_same(fd, left)
        assert not loop.remove_writer(left)

    run(main())


def test_part_of_a_stream(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.7: what fits is sent, at once, and with it the descriptors; the rest needs another call."""
    left, right = pair
    data = os.urandom(1 << 20)
    sent = at_once(loop.sock_sendmsg(left, [data[:10], data[10:]], [rights(left)]))
    assert 10 < sent < len(data)
    first, ancdata, _, _ = right.recvmsg(1, ROOM)
    (fd,) = descriptors(ancdata)
    assert is_same(fd, left)
    assert first + run(receive(right, sent - 1)) == data[:sent]


def test_empty_messages(loop: Loop, datagrams: Pair) -> None:
    """S25.7: an empty datagram is one, and with or without an empty buffer the same."""
    left, right = datagrams
    for buffers in [], [b""], [b"", b""]:
        for _ in range(2):
            assert at_once(loop.sock_sendmsg(left, buffers, [], 0, right.getsockname())) == 0
        received = right.recvmsg(10)
        assert received[0] == b""
        assert at_once(loop.sock_recvmsg(right, 10)) == received


def test_end_of_stream(loop: Loop, pair: Pair) -> None:
    """S25.1: as often as one asks."""
    left, right = pair
    left.close()
    assert at_once(loop.sock_recvmsg(right, 10, ROOM)) == right.recvmsg(10, ROOM)
    assert at_once(loop.sock_recvmsg_into(right, [bytearray(10)])) == right.recvmsg_into([bytearray(10)])


def test_truncated(loop: Loop, messages: Pair) -> None:
    """S25.1: the flags say what was lost; no descriptor comes in unseen."""
    left, right = messages
    for bufsize, ancbufsize, flags in (
        (2, ROOM, socket.MSG_TRUNC),
        (10, 0, socket.MSG_CTRUNC),
        (2, socket.CMSG_LEN(0), socket.MSG_TRUNC | socket.MSG_CTRUNC),
    ):
        for _ in range(2):
            left.sendmsg([b"data"], [rights(left)])
        data, ancdata, *rest = at_once(loop.sock_recvmsg(right, bufsize, ancbufsize))
        again, ancdata_again, *expected = right.recvmsg(bufsize, ancbufsize)
        assert (data, rest) == (again, expected)
        assert data == b"data"[:bufsize]
        assert rest[0] & (socket.MSG_TRUNC | socket.MSG_CTRUNC) == flags
        for fd in descriptors(ancdata) + descriptors(ancdata_again):
            assert is_same(fd, left)


@pytest.mark.parametrize("name", ["sock_recvmsg", "sock_recvmsg_into"])
def test_cancelled_receive_loses_nothing(loop: Loop, messages: Pair, name: str) -> None:
    """S25.5: whenever it is cancelled, neither data nor descriptors."""
    left, right = messages
    received: list[int] = []
    sent: list[int] = []

    async def start() -> Any:
        loop.call_soon(send)
        if name == "sock_recvmsg":
            return await loop.sock_recvmsg(right, 10, ROOM)
        buffer = bytearray(1)
        _, *rest = await loop.sock_recvmsg_into(right, [buffer], ROOM)
        return bytes(buffer), *rest

    def send() -> None:
        sent.append(len(sent))
        left.sendmsg([bytes(sent[-1:])], [rights(left)])

    def keep(result: Any) -> None:
        data, ancdata, _, _ = result
        received.extend(data)
        (fd,) = descriptors(ancdata)
        assert is_same(fd, left)

    def check() -> None:
        assert loop.remove_reader(right) is False
        with contextlib.suppress(BlockingIOError):
            while True:
                keep(right.recvmsg(10, ROOM))
        assert received == sent

    assert cancel_everywhere(loop, start, keep, check) > 0


def test_cancelled_send(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.5: nothing was sent, and the descriptor can be used again at once."""
    left, right = pair
    filled = fill(left)

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendmsg(left, [b"never"], [rights(left)]))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not loop.remove_writer(left)
        assert await receive(right, filled) == b"x" * filled
        assert await loop.sock_sendmsg(left, [b"data"]) == 4
        assert right.recvmsg(10, ROOM)[:2] == (b"data", [])

    run(main())


def test_broken_send(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.13: at once and after waiting."""
    left, right = pair
    fill(left)

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendmsg(left, [b"data"]))
        await asyncio.sleep(0)
        right.close()
        for attempt in sending, loop.sock_sendmsg(left, [b"data"]):
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                await attempt
        assert not loop.remove_writer(left)

    run(main())


def test_transport_owns_the_descriptor(loop: Loop, run: Run) -> None:
    """S25.4: for sending, too, an error as soon as it has to wait, not before."""

    async def main() -> None:
        async with connection() as (transport, _, _):
            sock = socket.socket(fileno=transport.get_extra_info("socket").fileno())
            try:
                assert await loop.sock_sendmsg(sock, [b"data"]) == 4
                fill(sock)
                with pytest.raises(RuntimeError, match=f"File descriptor {sock.fileno()} is used by transport"):
                    await loop.sock_sendmsg(sock, [b"data"])
            finally:
                sock.detach()

    run(main())


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("recvmsg", (-1,)),
        ("recvmsg", (1, -1)),
        ("recvmsg", (1, 1 << 31)),
        ("recvmsg", ("1",)),
        ("recvmsg", (1 << 63,)),
        ("recvmsg_into", ([b"immutable"],)),
        ("recvmsg_into", ([bytearray(1)], -1)),
        ("recvmsg_into", (b"1",)),
        ("sendmsg", (["text"],)),
        ("sendmsg", (b"1",)),
        ("sendmsg", ([b"x"], [(1, 2)])),
        ("sendmsg", ([b"x"], [(1, 2, "text")])),
        ("sendmsg", ([b"x"], [], "flags")),
        ("sendmsg", ([b"x"], [], 0, 7)),
    ],
)
def test_refused(loop: Loop, pair: Pair, name: str, args: Any) -> None:
    """S0.7: in the socket's words; nothing is received or sent."""
    left, right = pair
    right.send(b"kept")
    assert refusal(getattr(loop, f"sock_{name}")(left, *args).send, None) == refusal(getattr(left, name), *args)
    assert left.recv(10) == b"kept"
    with pytest.raises(BlockingIOError):
        right.recv(10)


@pytest.mark.parametrize("name", ["sock_recvmsg_into", "sock_sendmsg"])
def test_no_buffers(loop: Loop, pair: Pair, name: str) -> None:
    """S0.7: what is not iterable is a TypeError, as with the socket."""
    with pytest.raises(TypeError):
        at_once(getattr(loop, name)(pair[0], 7))


def test_dontwait(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.1: the system call does not wait; the coroutine does, on a blocking socket too."""
    left, right = pair
    right.setblocking(True)

    async def main() -> None:
        receiving = asyncio.ensure_future(loop.sock_recvmsg(right, 10, flags=socket.MSG_DONTWAIT))
        await asyncio.sleep(0.002)
        assert not receiving.done()
        left.send(b"data")
        assert (await receiving)[0] == b"data"

    run(main())


@linux_only
def test_error_queue(loop: Loop, run: Run, datagrams: Pair) -> None:
    """S25.1: ip(7), IP_RECVERR: the error comes with the datagram that nobody wanted."""
    left, right = datagrams
    left.setsockopt(socket.SOL_IP, IP_RECVERR, 1)
    address = right.getsockname()
    right.close()

    async def main() -> None:
        for _ in range(2):
            receiving = asyncio.ensure_future(loop.sock_recvmsg(left, 10, 512, socket.MSG_ERRQUEUE))
            await asyncio.sleep(0.002)
            assert not receiving.done()
            left.sendto(b"data", address)
            data, ((level, kind, _),), msg_flags, to = await receiving
            assert (data, level, kind, to) == (b"data", socket.SOL_IP, IP_RECVERR, address)
            assert msg_flags & socket.MSG_ERRQUEUE
        assert not select.select([left], [], [], 0)[0]

    run(main())
