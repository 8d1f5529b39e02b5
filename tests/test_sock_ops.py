"""S25: the sock_* calls."""

import array
import asyncio
import contextlib
import errno
import gc
import inspect
import os
import socket
import ssl
import time
import weakref
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.net import connection, eventually, listener, receive, reset, send, tcp_pair, unix_pair
from support.turns import turn

Loop = asyncio.AbstractEventLoop
Run = Callable[..., Any]
Pair = tuple[socket.socket, socket.socket]
Call = Callable[[Loop, socket.socket], Coroutine[Any, Any, Any]]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two connected stream sockets."""
    left, right = unix_pair()
    with left, right:
        yield left, right


@pytest.fixture
def datagrams() -> Iterator[Pair]:
    """Two UDP sockets, each bound, neither connected."""
    with socket.socket(type=socket.SOCK_DGRAM) as left, socket.socket(type=socket.SOCK_DGRAM) as right:
        for sock in left, right:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        yield left, right


def fill(sock: socket.socket) -> int:
    """Send until nothing more fits; how much did."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += sock.send(b"x" * 65536)
    return sent


def at_once(coro: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that must not wait."""
    with pytest.raises(StopIteration) as stopped:
        coro.send(None)
    return stopped.value.value


RECEIVING: dict[str, Call] = {
    "sock_recv": lambda loop, sock: loop.sock_recv(sock, 100),
    "sock_recv_into": lambda loop, sock: loop.sock_recv_into(sock, bytearray(100)),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 100),
    "sock_recvfrom_into": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(100)),
}
SENDING: dict[str, Call] = {
    "sock_sendall": lambda loop, sock: loop.sock_sendall(sock, b"data"),
    "sock_sendto": lambda loop, sock: loop.sock_sendto(sock, b"data", ("127.0.0.1", 1)),
}
OTHERS: dict[str, Call] = {
    "sock_connect": lambda loop, sock: loop.sock_connect(sock, ("127.0.0.1", 1)),
    "sock_accept": lambda loop, sock: loop.sock_accept(sock),
}
ALL = RECEIVING | SENDING | OTHERS


@pytest.mark.parametrize("name", ALL)
def test_coroutines(loop: Loop, name: str) -> None:
    """S25: what they return can be given to create_task."""
    assert inspect.iscoroutinefunction(getattr(loop, name))


@pytest.mark.parametrize("name", ALL)
def test_ssl_socket(loop: Loop, run: Run, name: str) -> None:
    """S25.2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with (
        context.wrap_socket(socket.socket()) as sock,
        pytest.raises(TypeError, match=r"^Socket cannot be of type SSLSocket$"),
    ):
        run(ALL[name](loop, sock))


@pytest.mark.parametrize("name", ALL)
def test_blocking_socket_in_debug_mode(loop: Loop, run: Run, name: str) -> None:
    """S25.3: also one with a timeout."""
    loop.set_debug(True)
    for timeout in None, 1.0:
        with socket.socket() as sock:
            sock.settimeout(timeout)
            with pytest.raises(ValueError, match=r"^the socket must be non-blocking$"):
                run(ALL[name](loop, sock))


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


def test_send_at_once(loop: Loop, pair: Pair, datagrams: Pair) -> None:
    """S25.1, S25.7."""
    left, right = pair
    assert at_once(loop.sock_sendall(left, b"data")) is None
    assert at_once(loop.sock_sendall(left, b"")) is None
    assert right.recv(100) == b"data"
    one, two = datagrams
    assert at_once(loop.sock_sendto(one, b"datagram", two.getsockname())) == 8
    assert at_once(loop.sock_sendto(one, b"", two.getsockname())) == 0
    assert at_once(loop.sock_recvfrom(two, 100)) == (b"datagram", one.getsockname())
    assert at_once(loop.sock_recvfrom(two, 100)) == (b"", one.getsockname())


@pytest.mark.parametrize("name", RECEIVING)
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


@pytest.mark.parametrize("name", RECEIVING)
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
        with pytest.raises(TypeError):
            await loop.sock_recv(left, "4")  # type: ignore[arg-type]
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
                pair[0].recv_into(buf)  # type: ignore[arg-type]
            with pytest.raises(TypeError) as again:
                await loop.sock_recv_into(pair[0], buf)  # type: ignore[arg-type]
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
    """S25.12: 0 means all that fits."""
    left, right = datagrams
    for nbytes, expected in (0, 6), (3, 3):
        right.sendto(b"123456", left.getsockname())
        buf = bytearray(8)
        result = at_once(loop.sock_recvfrom_into(left, buf, nbytes))
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


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview])
def test_sendall_waits(loop: Loop, run: Run, pair: Pair, convert: Callable[[bytes], Any]) -> None:
    """S25.7, S25.13: everything, in order, whatever it is."""
    left, right = pair
    data = os.urandom(1 << 20)

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendall(left, convert(data)))
        await asyncio.sleep(0.002)
        assert not sending.done()
        assert await receive(right, len(data)) == data
        assert await sending is None
        assert not loop.remove_writer(left)

    run(main())


@ferroloop_only("takes items for bytes", "S25.7")
def test_sendall_of_items(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.7: the bytes count, not the items."""
    left, right = pair
    data = os.urandom(1 << 20)

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendall(left, array.array("I", data)))
        assert await receive(right, len(data)) == data
        await sending

    run(main())


def test_sendall_of_a_full_socket(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.7: not even the first byte fits."""
    left, right = pair
    filled = fill(left)

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendall(left, b"data"))
        await asyncio.sleep(0.002)
        assert not sending.done()
        assert await receive(right, filled + 4) == b"x" * filled + b"data"
        await sending

    run(main())


def test_sendto_waits(loop: Loop, run: Run, tmp_path: Path) -> None:
    """S25.7: the byte count of one datagram."""
    path = str(tmp_path / "server")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client,
    ):
        server.bind(path)
        client.setblocking(False)
        waiting = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                client.sendto(b"first", path)
                waiting += 1

        async def main() -> None:
            sending = asyncio.ensure_future(loop.sock_sendto(client, b"datagram", path))
            await asyncio.sleep(0.002)
            assert not sending.done()
            for _ in range(waiting):
                server.recv(100)
            assert await sending == 8
            assert server.recv(100) == b"datagram"

        run(main())


def test_both_directions(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.1: a receiver and a sender may wait for the same socket."""
    left, right = pair
    filled = fill(left)

    async def main() -> None:
        receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
        sending = asyncio.ensure_future(loop.sock_sendall(left, b"data"))
        await asyncio.sleep(0.002)
        assert not receiving.done()
        assert not sending.done()
        right.send(b"answer")
        assert await receiving == b"answer"
        assert not sending.done()
        assert await receive(right, filled + 4) == b"x" * filled + b"data"
        await sending

    run(main())


@pytest.mark.parametrize("name", RECEIVING)
def test_transport_owns_the_descriptor(loop: Loop, run: Run, name: str) -> None:
    """S25.4: an error as soon as it has to wait, not before."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            transport.pause_reading()
            sock = socket.socket(fileno=transport.get_extra_info("socket").fileno())
            try:
                peer.send(b"data")
                await asyncio.sleep(0.002)
                result = await RECEIVING[name](loop, sock)
                assert (result[0] if isinstance(result, tuple) else result) in (b"data", 4)
                text = f"File descriptor {sock.fileno()} is used by transport"
                with pytest.raises(RuntimeError, match=text):
                    await RECEIVING[name](loop, sock)
            finally:
                sock.detach()

    run(main())


@pytest.mark.parametrize("name", RECEIVING)
def test_cancelled_receive(loop: Loop, run: Run, pair: Pair, name: str) -> None:
    """S25.5: no watcher is left, and the descriptor can be used again at once."""
    left, right = pair

    async def main() -> None:
        receiving = asyncio.ensure_future(RECEIVING[name](loop, left))
        await asyncio.sleep(0)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        await asyncio.sleep(0)
        assert not loop.remove_reader(left)
        right.send(b"data")
        assert await loop.sock_recv(left, 100) == b"data"

    run(main())


def test_cancelled_send(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.5."""
    left, right = pair
    filled = fill(left)

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendall(left, b"never"))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.sleep(0)
        assert not loop.remove_writer(left)
        assert await receive(right, filled) == b"x" * filled
        await loop.sock_sendall(left, b"data")
        assert await receive(right, 4) == b"data"

    run(main())


@ferroloop_only("the loop has read the data already, and drops it", "S25.5")
@pytest.mark.parametrize("name", RECEIVING)
def test_cancelled_just_before_the_result(loop: Loop, pair: Pair, name: str) -> None:
    """S25.5: at whatever step, the data is still there."""
    left, right = pair
    for turns in range(4):
        task = loop.create_task(RECEIVING[name](loop, left))
        turn(loop)
        right.send(b"data")
        turn(loop, turns)
        if task.done():
            assert task.exception() is None
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        assert left.recv(100) == b"data"
    else:
        pytest.fail("it never received anything")


@ferroloop_only("leaves the watcher", "S25.13")
@pytest.mark.parametrize("name", RECEIVING)
def test_destroyed_while_waiting(loop: Loop, run: Run, pair: Pair, name: str) -> None:
    """S25.13: a coroutine that is closed takes its watcher along."""

    async def main() -> None:
        coro = RECEIVING[name](loop, pair[0])
        coro.send(None)
        coro.close()
        assert not loop.remove_reader(pair[0])

    run(main())


def test_overlapping_waits(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.6: the second call takes the place of the first, whose cancellation then changes nothing."""
    left, right = pair

    async def main() -> None:
        first = asyncio.ensure_future(loop.sock_recv(left, 100))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(loop.sock_recv(left, 100))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await asyncio.sleep(0)
        right.send(b"data")
        assert await second == b"data"

    run(main())


def test_overlapping_sends(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.6."""
    left, right = pair
    filled = fill(left)

    async def main() -> None:
        first = asyncio.ensure_future(loop.sock_sendall(left, b"first"))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(loop.sock_sendall(left, b"second"))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await asyncio.sleep(0)
        assert await receive(right, filled + 6) == b"x" * filled + b"second"
        await second

    run(main())


def test_callback_takes_the_place(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.6: of a wait, and a wait that of a callback."""
    left, right = pair
    seen: list[str] = []

    async def main() -> None:
        receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
        await asyncio.sleep(0)
        loop.add_reader(left, seen.append, "callback")
        right.send(b"data")
        await eventually(lambda: seen)
        assert not receiving.done()
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        await asyncio.sleep(0)
        assert loop.remove_reader(left)
        loop.add_reader(left, seen.append, "again")
        left.recv(100)
        receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
        await asyncio.sleep(0)
        seen.clear()
        right.send(b"more")
        assert await receiving == b"more"
        assert seen == []
        assert not loop.remove_reader(left)

    run(main())


def test_callback_for_the_other_side(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.6: writers are not concerned by a wait for reading."""
    left, right = pair
    seen: list[str] = []

    async def main() -> None:
        for _ in range(3):
            receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
            await asyncio.sleep(0)
            loop.add_writer(left, seen.append, "writable")
            await eventually(lambda: seen)
            assert not receiving.done()
            right.send(b"data")
            assert await receiving == b"data"
            seen.clear()
            await eventually(lambda: seen)
            assert loop.remove_writer(left)
            seen.clear()
            await asyncio.sleep(0.002)
            assert seen == []

    run(main())


def test_many_waits_in_a_row(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.1: each wait hears of its own data, and what is not waited for wakes nobody."""
    left, right = pair

    async def main() -> None:
        for n in range(50):
            receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
            await asyncio.sleep(0)
            right.send(b"%d" % n)
            assert await receiving == b"%d" % n
            right.send(b"unexpected")
            await asyncio.sleep(0.001)
            assert left.recv(100) == b"unexpected"

    run(main())


def test_idle_after_a_wait(loop: Loop, pair: Pair) -> None:
    """S25.13: data nobody asks for does not keep the loop busy."""
    left, right = pair
    task = loop.create_task(loop.sock_recv(left, 1))
    turn(loop)
    right.send(b"xy")
    assert loop.run_until_complete(task) == b"x"
    used = time.process_time()
    loop.run_until_complete(asyncio.sleep(0.2))
    assert time.process_time() - used < 0.1


@pytest.mark.parametrize("then", ["recv", "transport", "reader"])
def test_reused_number(loop: Loop, run: Run, then: str) -> None:
    """S25.5, S7.8: a socket closed after its calls leaves its number free for another."""

    async def main() -> None:
        for _ in range(3):
            left, right = unix_pair()
            fd = left.fileno()
            receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
            await asyncio.sleep(0)
            right.send(b"data")
            assert await receiving == b"data"
            left.close()
            right.close()
            left, right = unix_pair()
            assert left.fileno() == fd
            if then == "recv":
                receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
                await asyncio.sleep(0)
                right.send(b"data")
                assert await receiving == b"data"
            elif then == "reader":
                ready = asyncio.Event()
                loop.add_reader(left, ready.set)
                await asyncio.sleep(0)
                right.send(b"data")
                await ready.wait()
                loop.remove_reader(left)
            else:
                reader, writer = await asyncio.open_connection(sock=left)
                right.send(b"data")
                assert await reader.read(100) == b"data"
                writer.close()
                await writer.wait_closed()
            left.close()
            right.close()

    run(main())


@ferroloop_only("does not notice the new owner of the number", "S7.8")
def test_closed_while_waiting(loop: Loop, run: Run) -> None:
    """S25.5: the wait has no end but cancellation, which is then harmless to a new owner of the number."""

    async def main() -> None:
        left, right = unix_pair()
        fd = left.fileno()
        receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
        await asyncio.sleep(0)
        left.close()
        right.close()
        new, peer = unix_pair()
        assert new.fileno() == fd
        second = asyncio.ensure_future(loop.sock_recv(new, 100))
        await asyncio.sleep(0)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        await asyncio.sleep(0)
        peer.send(b"data")
        assert await second == b"data"
        new.close()
        peer.close()

    run(main())


@pytest.mark.parametrize("name", RECEIVING | SENDING)
def test_closed_socket(loop: Loop, run: Run, name: str) -> None:
    """S25.13."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.close()
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        run(ALL[name](loop, sock))
    assert caught.value.errno == errno.EBADF


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


def test_broken_send(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.13, S25.7: at once and after waiting."""
    left, right = pair

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendall(left, b"x" * (1 << 20)))
        await asyncio.sleep(0.002)
        right.close()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await sending
        with pytest.raises(BrokenPipeError):
            await loop.sock_sendall(left, b"data")
        assert not loop.remove_writer(left)

    run(main())


def test_accept(loop: Loop, run: Run) -> None:
    """S25.10, S25.1: at once or after waiting."""

    async def main(server: socket.socket) -> None:
        server.setblocking(False)
        accepting = asyncio.ensure_future(loop.sock_accept(server))
        await asyncio.sleep(0.001)
        assert not accepting.done()
        for _ in range(2):
            with socket.create_connection(server.getsockname()) as client:
                peer, address = await accepting
                with peer:
                    assert address == client.getsockname() == peer.getpeername()
                    assert peer.gettimeout() == 0
                accepting = asyncio.ensure_future(loop.sock_accept(server))
        accepting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await accepting
        await asyncio.sleep(0)
        assert not loop.remove_reader(server)

    with listener() as server:
        run(main(server))


def cancelled_accept(loop: Loop, turns: int) -> None:
    """Cancel an accept some iterations after a connection came; the connection must not get lost."""
    with listener() as server:
        server.setblocking(False)
        task = loop.create_task(loop.sock_accept(server))
        turn(loop)
        with socket.create_connection(server.getsockname()) as client:
            turn(loop, turns)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                loop.run_until_complete(task)
            peer, address = loop.run_until_complete(loop.sock_accept(server))
            assert address == client.getsockname()
            peer.close()


def test_cancelled_accept(loop: Loop) -> None:
    """S25.5: the connection waits for the next call."""
    cancelled_accept(loop, 0)


@ferroloop_only("has accepted already, and drops the connection", "S25.11")
def test_accept_cancelled_late(loop: Loop) -> None:
    """S25.11: even if the loop knows of the connection already."""
    cancelled_accept(loop, 1)


def test_connect_resolves(loop: Loop, run: Run) -> None:
    """S25.8: names of hosts, in a socket of their family."""

    async def main(server: socket.socket) -> None:
        for host in "localhost", "127.0.0.1":
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, (host, server.getsockname()[1]))
                server.accept()[0].close()

    with listener() as server:
        run(main(server))


def test_connect_other_families(loop: Loop, run: Run, tmp_path: Path) -> None:
    """S25.8: their addresses are passed through."""
    path = str(tmp_path / "socket")

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, path)
            assert sock.getpeername() == path

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        run(main())


def test_closed_loop(loop: Loop, pair: Pair) -> None:
    """S25.4: nothing can be waited for."""
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.sock_recv(pair[0], 1).send(None)
