"""S25: the sock_* calls that receive."""

import array
import asyncio
import gc
import operator
import os
import socket
import sys
import weakref
from pathlib import Path
from typing import Any, cast

import pytest
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import reset, send, tcp_pair
from support.sock import ALL, RECEIVING, at_once, each, refusal

Pair = tuple[socket.socket, socket.socket]


def test_recv_at_once(loop: Loop, pair: Pair) -> None:
    """S25.1: without the loop having to run."""
    left, right = pair
    right.send(b"one,two,three,four,")
    assert at_once(loop.sock_recv(left, 4)) == b"one,"
    buf = bytearray(4)
    assert at_once(loop.sock_recv_into(left, buf)) == 4
    assert buf == b"two,"
    assert at_once(loop.sock_recvfrom(left, 6)) == (b"three,", right.getsockname() or None)
    assert at_once(loop.sock_recvfrom_into(left, buf, 3)) == (3, right.getsockname() or None)
    assert buf == b"fou,"
    right.close()
    assert at_once(loop.sock_recv(left, 100)) == b"r,"
    assert at_once(loop.sock_recv(left, 100)) == b""
    assert at_once(loop.sock_recv_into(left, buf)) == 0


class Number:
    """As good as an int."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Odd:
    """Not a number, though it has the looks."""

    def __index__(self) -> int:
        raise ZeroDivisionError("no index")


ODD_SIZES = {
    "float": 1.0,
    "str": "3",
    "list": [1],
    "negative": -1,
    "2^63": 2**63,
    "below -2^63": -(2**63) - 1,
    "raising": Odd(),
    "too large": Number(2**63),
}


@pytest.mark.parametrize("name", ["recv", "recv_into", "recvfrom", "recvfrom_into"])
@pytest.mark.parametrize("size", ODD_SIZES.values(), ids=ODD_SIZES)
def test_odd_sizes(loop: Loop, pair: Pair, name: str, size: Any) -> None:
    """S0.7, S25.1: refused in the socket's words, and nothing is received."""
    left, right = pair
    right.send(b"kept")
    args = (bytearray(4), size) if name == "recvfrom_into" else (size,)
    expected = refusal(getattr(left, name), *args)
    coro = getattr(loop, f"sock_{name}")(left, *args)
    assert refusal(coro.send, None) == expected
    assert left.recv(10) == b"kept"


@pytest.mark.parametrize("size", [True, Number(2)], ids=["bool", "index"])
def test_sizes_that_are_numbers(loop: Loop, pair: Pair, size: Any) -> None:
    """S25.1: what has an index is one."""
    left, right = pair
    right.send(b"data")
    assert at_once(loop.sock_recv(left, size)) == b"data"[: operator.index(size)]


class Own(socket.socket):
    """Receives by methods of its own."""

    def recv(self, *args: Any) -> bytes:
        return b"own " + super().recv(*args)

    def recv_into(self, buffer: Any, *args: Any) -> int:
        return super().recv_into(memoryview(buffer)[:1], *args)


def test_a_class_with_methods_of_its_own(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.1: at once, and after waiting."""
    left, right = pair

    async def main() -> None:
        with Own(fileno=os.dup(left.fileno())) as sock:
            sock.setblocking(False)
            for waits in False, True:
                if not waits:
                    right.send(b"abcd")
                receiving = asyncio.ensure_future(loop.sock_recv(sock, 2))
                await asyncio.sleep(0)
                if waits:
                    right.send(b"abcd")
                assert await receiving == b"own ab"
                assert await loop.sock_recv_into(sock, bytearray(10)) == 1
                assert sock.recv(10) == b"own d"

    run(main())


class Misleading(socket.socket):
    """Shows a number that is not its own, as wrappers do."""

    number = -1

    def fileno(self) -> int:
        return self.number


def test_a_class_with_a_number_of_its_own(loop: Loop, pair: Pair) -> None:
    """S25.1: Python's methods do not ask `fileno()`."""
    left, right = pair
    with Misleading(fileno=os.dup(left.fileno())) as sock:
        sock.number = right.fileno()
        right.send(b"abcd")
        assert at_once(loop.sock_recv(sock, 2)) == b"ab"
        assert at_once(loop.sock_recv_into(sock, bytearray(2))) == 2


@pytest.mark.parametrize("name", each(RECEIVING))
def test_receiving_waits(loop: Loop, run: Run, pair: Pair, name: str) -> None:
    """S25.1, S25.13: and leaves no watcher."""
    left, right = pair

    async def main() -> None:
        receiving = asyncio.ensure_future(RECEIVING[name](loop, left))
        await asyncio.sleep(0.002)
        assert not receiving.done()
        right.send(b"data")
        result = await receiving
        assert (result[0] if isinstance(result, tuple) else result) in (b"data", 4)
        assert not loop.remove_reader(left)

    run(main())


@pytest.mark.parametrize("name", each(RECEIVING))
def test_end_of_stream(loop: Loop, run: Run, pair: Pair, name: str) -> None:
    """S25.1."""
    left, right = pair

    async def main() -> None:
        receiving = asyncio.ensure_future(RECEIVING[name](loop, left))
        await asyncio.sleep(0)
        right.close()
        result = await receiving
        assert (result[0] if isinstance(result, tuple) else result) in (b"", 0)

    run(main())


def test_recv_sizes(loop: Loop, run: Run) -> None:
    """S25.1: nothing asked for is nothing received; more than one read of a transport is possible."""
    left, right = tcp_pair()
    for sock in left, right:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    data = os.urandom(1 << 20)

    async def main() -> None:
        assert await loop.sock_recv(left, 0) == b""
        assert await loop.sock_recv_into(left, bytearray()) == 0
        with pytest.raises(ValueError, match="negative buffersize in recv"):
            await loop.sock_recv(left, -1)
        with pytest.raises(MemoryError):
            await loop.sock_recv(left, 1 << 62)
        with pytest.raises(OverflowError):
            await loop.sock_recv(left, sys.maxsize)
        with pytest.raises(TypeError):
            await loop.sock_recv(left, "4")
        received = b""
        sending = asyncio.ensure_future(send(right, data))
        while len(received) < len(data):
            received += await loop.sock_recv(left, 2 << 20)
        assert received == data
        await sending

    run(main())
    left.close()
    right.close()


def test_wrong_buffers(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.1, S0.7: as socket.recv_into has it."""

    async def main() -> None:
        for buf in b"immutable", 3, None:
            with pytest.raises(TypeError) as caught:
                pair[0].recv_into(buf)
            with pytest.raises(TypeError) as again:
                await loop.sock_recv_into(pair[0], buf)
            assert str(again.value) == str(caught.value)

    run(main())


def test_recv_into_items(loop: Loop, pair: Pair) -> None:
    """S25.1: the memory counts, not the items."""
    left, right = pair
    right.send(bytes(range(16)))
    buf = array.array("I", [0] * 4)
    assert at_once(loop.sock_recv_into(left, buf)) == 16
    assert buf.tobytes() == bytes(range(16))


def test_recvfrom_into_lengths(loop: Loop, datagrams: Pair) -> None:
    """S25.12: 0 means all that fits, and so does None."""
    left, right = datagrams
    for nbytes, expected in (0, 6), (3, 3), (None, 6):
        right.sendto(b"123456", left.getsockname())
        buf = bytearray(8)
        result = at_once(loop.sock_recvfrom_into(left, buf, cast(int, nbytes)))
        assert result == (expected, right.getsockname())
        assert buf[:expected] == b"123456"[:expected]
    right.sendto(b"abcdef", left.getsockname())
    with pytest.raises(ValueError, match="nbytes"):
        at_once(loop.sock_recvfrom_into(left, bytearray(8), 9))


@pytest.mark.parametrize("address", ["path", "abstract", "none"])
def test_unix_datagrams(loop: Loop, run: Run, tmp_path: Path, address: str) -> None:
    """S25.1: addresses of every kind."""
    name: Any = {"path": str(tmp_path / "client"), "abstract": b"\0ferroloop-%d" % os.getpid(), "none": None}[address]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        server.setblocking(False)
        client.setblocking(False)
        server.bind(str(tmp_path / "server"))
        if name is not None:
            client.bind(name)

        async def main() -> None:
            receiving = asyncio.ensure_future(loop.sock_recvfrom(server, 100))
            await asyncio.sleep(0)
            assert await loop.sock_sendto(client, b"data", str(tmp_path / "server")) == 4
            assert await receiving == (b"data", name)

        run(main())


@ferroloop_only("blocks the loop", "S25.1")
@pytest.mark.parametrize("name", ["sock_recv", "sock_recv_into"])
def test_blocking_socket(loop: Loop, run: Run, pair: Pair, name: str) -> None:
    """S25.1: outside of debug mode the loop goes on all the same."""
    left, right = pair
    left.setblocking(True)

    async def main() -> None:
        receiving = asyncio.ensure_future(ALL[name](loop, left))
        await asyncio.sleep(0.01)
        assert not receiving.done()
        right.send(b"data")
        assert await receiving in (b"data", 4)

    run(main())


@ferroloop_only("leaves a cycle of error and future", "S25.13")
@pytest.mark.parametrize("name", RECEIVING)
def test_failed_receive(loop: Loop, run: Run, name: str) -> None:
    """S25.13: no watcher and no cycle; the error dies without the collector."""
    left, right = tcp_pair()

    class Marked:
        """A local variable of the frame the error leads to."""

    async def main() -> "weakref.ref[Marked]":
        mark = Marked()
        receiving = RECEIVING[name](loop, left)
        loop.call_later(0.002, reset, right)
        try:
            await receiving
        except ConnectionResetError:
            assert not loop.remove_reader(left)
            return weakref.ref(mark)
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        assert run(main())() is None
    finally:
        gc.enable()
    left.close()
