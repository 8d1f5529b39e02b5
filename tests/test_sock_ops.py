"""S25: the sock_* calls: what all have in common, sending, accepting, connecting."""

import array
import asyncio
import contextlib
import errno
import inspect
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import listener, receive
from support.sock import ALL, RECEIVING, SENDING, at_once, each, fill
from support.turns import turn

Pair = tuple[socket.socket, socket.socket]


@pytest.mark.parametrize("name", each(ALL))
def test_coroutines(loop: Loop, name: str) -> None:
    """S25: what they return can be given to create_task."""
    assert inspect.iscoroutinefunction(getattr(loop, name))


@pytest.mark.parametrize("name", each(ALL))
def test_ssl_socket(loop: Loop, run: Run, name: str) -> None:
    """S25.2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with (
        context.wrap_socket(socket.socket()) as sock,
        pytest.raises(TypeError, match=r"^Socket cannot be of type SSLSocket$"),
    ):
        run(ALL[name](loop, sock))


@pytest.mark.parametrize("name", each(ALL))
def test_blocking_socket_in_debug_mode(loop: Loop, run: Run, name: str) -> None:
    """S25.3: also one with a timeout."""
    loop.set_debug(True)
    for timeout in None, 1.0:
        with socket.socket() as sock:
            sock.settimeout(timeout)
            with pytest.raises(ValueError, match=r"^the socket must be non-blocking$"):
                run(ALL[name](loop, sock))


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


@pytest.mark.parametrize("name", each(["sock_sendto", "sock_sendmsg"]))
def test_sendto_waits(loop: Loop, run: Run, tmp_path: Path, name: str) -> None:
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

        def send() -> Any:
            if name == "sock_sendto":
                return loop.sock_sendto(client, b"datagram", path)
            return loop.sock_sendmsg(client, [b"data", b"gram"], address=path)

        async def main() -> None:
            sending = asyncio.ensure_future(send())
            await asyncio.sleep(0.002)
            assert not sending.done()
            for _ in range(waiting):
                server.recv(100)
            assert await sending == 8
            assert server.recv(100) == b"datagram"

        run(main())


@pytest.mark.parametrize("name", each(RECEIVING | SENDING))
def test_closed_socket(loop: Loop, run: Run, name: str) -> None:
    """S25.13."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.close()
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        run(ALL[name](loop, sock))
    assert caught.value.errno == errno.EBADF


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


def test_accept_on_no_socket(loop: Loop) -> None:
    """S25.10: the descriptor is asked for first."""
    with pytest.raises(AttributeError, match=r"^'int' object has no attribute 'fileno'$"):
        at_once(loop.sock_accept(cast(Any, 5)))


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
