"""A1: every descriptor has one owner: closed behind its back, and its number given to somebody else."""

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support.fds import is_open
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import connection, eventually, tcp_pair, unix_pair
from support.protocols import Recorder
from support.turns import turn


def close_behind(transport: Any) -> int:
    """Close the transport's descriptor as a foreign library would; its number."""
    fd: int = transport.get_extra_info("socket").fileno()
    os.close(fd)
    return fd


@contextlib.contextmanager
def reused(fd: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """An innocent socket that took over the number, and its peer."""
    pair = socket.socketpair()
    # First away from the low numbers, one of which may be `fd`.
    high = [fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 500) for sock in pair]
    for sock in pair:
        sock.close()
    os.dup2(high[0], fd)
    os.close(high[0])
    with socket.socket(fileno=fd) as innocent, socket.socket(fileno=high[1]) as peer:
        innocent.setblocking(False)
        yield innocent, peer


@pytest.mark.parametrize("end", ["close", "abort"])
@ferroloop_only("asyncio's transport stays half closed", "A1")
def test_fd_closed_behind_a_transport(loop: Loop, run: Run, errors: list[dict[str, Any]], end: str) -> None:
    """A1: an error for the handler at most; connection_lost comes, the loop goes on."""
    left, right = tcp_pair()

    async def main() -> None:
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        await asyncio.sleep(0)
        close_behind(transport)
        getattr(transport, end)()
        await eventually(lambda: protocol.lost)
        assert len(protocol.lost) == 1

    run(main())
    assert loop.run_until_complete(asyncio.sleep(0.001, "alive")) == "alive"
    if left.fileno() != -1:
        left.detach()
    right.close()


def test_reading_from_a_closed_fd(loop: Loop, run: Run) -> None:
    """A1, S7.8: the next owner of the number is left alone."""
    left, right = tcp_pair()

    async def main() -> None:
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        await asyncio.sleep(0)
        fd = close_behind(transport)
        await asyncio.sleep(0.005)
        with reused(fd) as (innocent, peer):
            peer.send(b"not for the transport")
            await asyncio.sleep(0.005)
            assert innocent.recv(100) == b"not for the transport"
            assert protocol.data == b""
            left.detach()
            transport.abort()
            await asyncio.sleep(0.002)
            assert is_open(fd)

    run(main())
    right.close()


def test_fd_closed_behind_a_server(loop: Loop, run: Run, errors: list[dict[str, Any]]) -> None:
    """A1: the loop goes on, and closing the server is possible."""

    async def main() -> None:
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        await asyncio.sleep(0)
        fd = server.sockets[0].fileno()
        spare = socket.socket()
        os.dup2(spare.fileno(), fd)  # the number stays taken, by a socket that does not listen
        await asyncio.sleep(0.005)
        server.close()
        spare.close()

    run(main())
    assert loop.run_until_complete(asyncio.sleep(0.001, "alive")) == "alive"


def test_stale_events_hit_nobody(loop: Loop) -> None:
    """A1, S4.10: an event of a closed transport does not reach the next one with its number."""
    first, peer = unix_pair()
    fd = first.fileno()
    seen: list[str] = []
    loop.add_reader(first, seen.append, "first")
    peer.send(b"x")
    second = unix_pair()

    def swap() -> None:
        loop.remove_reader(first)
        first.close()
        os.dup2(second[0].fileno(), fd)
        loop.add_reader(fd, seen.append, "second")

    loop.call_soon(swap)
    turn(loop, 3)
    assert seen == []
    second[1].send(b"y")
    turn(loop, 2)
    assert set(seen) == {"second"}
    loop.remove_reader(fd)
    os.close(fd)
    for sock in (peer, *second):
        sock.close()


def test_number_of_an_ended_transport(loop: Loop, run: Run) -> None:
    """A1: it is free for others; what the old transport still does cannot touch them."""

    async def main() -> None:
        async with connection() as (transport, protocol, _):
            fd = transport.get_extra_info("socket").fileno()
            transport.close()
            await eventually(lambda: protocol.lost)
            assert not is_open(fd)
            with reused(fd) as (_, peer):
                transport.close()
                transport.write(b"x")
                await asyncio.sleep(0.002)
                assert is_open(fd)
                peer.setblocking(False)
                with pytest.raises(BlockingIOError):
                    peer.recv(1)

    run(main())


@ferroloop_only("asyncio makes the socket before the transport", "A1")
def test_a_socket_that_came_to_nothing(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A1: a signal's handler fails in the middle of `__init__`: the descriptor has not gone to the object."""
    make = socket.socket.__init__

    def fail(self: socket.socket, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        raise KeyboardInterrupt

    async def main() -> None:
        protocol = Recorder()
        async with await loop.create_server(lambda: protocol, "127.0.0.1", 0) as server:
            with socket.create_connection(server.sockets[0].getsockname()) as client:
                client.setblocking(False)
                await eventually(lambda: protocol.transport)
                with monkeypatch.context() as patch:
                    patch.setattr(socket.socket, "__init__", fail)
                    with pytest.raises(KeyboardInterrupt):
                        protocol.transport.get_extra_info("socket")
                protocol.transport.write(b"still here")
                assert await loop.sock_recv(client, 100) == b"still here"
            await eventually(lambda: protocol.lost)

    run(main())


def test_many_connections_share_no_number(loop: Loop, run: Run) -> None:
    """A1: numbers are reused at once, data stays with its connection."""

    async def client(address: Any, n: int) -> None:
        reader, writer = await asyncio.open_connection(*address)
        word = b"%d\n" % n
        writer.write(word)
        assert await reader.readline() == word
        writer.close()
        await writer.wait_closed()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()
        ended.append(writer)

    ended: list[object] = []

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            address = server.sockets[0].getsockname()
            for start in range(0, 300, 20):
                await asyncio.gather(*(client(address, start + n) for n in range(20)))
            await eventually(lambda: len(ended) == 300)

    run(main(), 30)
