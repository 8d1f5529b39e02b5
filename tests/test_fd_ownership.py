"""A1: every descriptor has one owner: cancelled at each await, closed behind the back."""

import asyncio
import contextlib
import fcntl
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.cancelling import cancel_everywhere
from support.fds import is_open, open_fds
from support.gates import ferroloop_only
from support.loops import Loop
from support.net import (
    connection,
    eventually,
    info,
    listener,
    refusing,
    scripted,
    silent,
    tcp_pair,
    unix_pair,
)
from support.pipes import pipe
from support.processes import Family, has_children
from support.protocols import Recorder
from support.turns import turn, until

Run = Callable[..., Any]


@contextlib.contextmanager
def steady(loop: Loop) -> Iterator[Callable[[], None]]:
    """A check that the open descriptors are those of now; asyncio's lazy ones exist already."""
    loop.run_until_complete(asyncio.sleep(0))
    before = open_fds()

    def check() -> None:
        now = open_fds()
        new = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in now.keys() - before.keys()}
        assert new == {}
        assert now == before

    yield check


def end_connection(result: tuple[Any, Any]) -> None:
    """Abort what was connected after all."""
    result[0].abort()


def end_server(server: Any) -> None:
    """Close what serves after all."""
    server.close()


@contextlib.contextmanager
def accepting() -> Iterator[socket.socket]:
    """A listener whose queue is emptied by a thread."""
    with listener(backlog=1000) as sock:
        done = threading.Event()

        def accept() -> None:
            sock.settimeout(0.02)
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    sock.accept()[0].close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield sock
        finally:
            done.set()
            thread.join()


class Descriptors:
    """The check of `steady` made blind to the accepting thread's own short-lived sockets."""

    def __init__(self, loop: Loop) -> None:
        loop.run_until_complete(asyncio.sleep(0))
        self.before = open_fds()

    def check(self) -> None:
        """Nothing left, nothing lost; the thread may be holding one for a moment."""
        for _ in range(200):
            if open_fds() == self.before:
                return
            threading.Event().wait(0.005)
        assert open_fds() == self.before


@ferroloop_only("the socket leaked", "S14.20", sys.version_info < (3, 14))
def test_create_connection(loop: Loop) -> None:
    """S14.11, S14.20, S14.21: cancelled at every await."""
    with accepting() as server:
        descriptors = Descriptors(loop)
        address = server.getsockname()
        steps = cancel_everywhere(
            loop,
            lambda: loop.create_connection(Recorder, *address),
            end_connection,
            descriptors.check,
        )
    assert steps >= 2


@ferroloop_only("a race won while being cancelled leaks its socket", "S15.6")
def test_create_connection_with_all_steps(loop_class: type) -> None:
    """S14.11, S14.12, S15.6: a lookup, a local address, a refused candidate, a race."""
    with accepting() as server, refusing() as closed:
        names = {"name": [info(*closed), info(*server.getsockname())]}
        loop = scripted(loop_class, names)
        descriptors = Descriptors(loop)
        for delay in (None, 0.001):
            steps = cancel_everywhere(
                loop,
                lambda delay=delay: loop.create_connection(  # type: ignore[misc]
                    Recorder,
                    "name",
                    1,
                    local_addr=("127.0.0.1", 0),
                    happy_eyeballs_delay=delay,
                ),
                end_connection,
                descriptors.check,
            )
            assert steps >= 3
        loop.close()


@pytest.fixture
def slow_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lookups that take some iterations and open no file of their own."""

    def lookup(host: Any, port: Any, *args: Any) -> Any:
        time.sleep(0.005)
        return [info("127.0.0.1", port)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def test_create_connection_by_name(loop: Loop, slow_lookup: None) -> None:
    """S13.1, S14.11: with the lookup in another thread."""
    with refusing() as (_, port), steady(loop) as check:

        async def start() -> Any:
            with contextlib.suppress(OSError):
                await loop.create_connection(Recorder, "name", port)

        cancel_everywhere(loop, start, lambda result: None, check, pause=0.001)


@ferroloop_only("the socket leaked", "S14.20", sys.version_info < (3, 14))
def test_create_connection_with_a_socket(loop: Loop) -> None:
    """S14.5, S14.20: handed over or not, the socket is closed once."""
    loop.run_until_complete(asyncio.sleep(0))
    before = open_fds()
    pairs: list[tuple[socket.socket, socket.socket]] = []

    def start() -> Any:
        pairs.append(tcp_pair())
        return loop.create_connection(Recorder, sock=pairs[-1][0])

    def check() -> None:
        left, right = pairs.pop()
        if left.fileno() != -1:
            left.close()
        right.close()
        assert open_fds() == before

    cancel_everywhere(loop, start, end_connection, check)


@ferroloop_only("the socket leaked", "S14.20", sys.version_info < (3, 14))
def test_connect_accepted_socket(loop: Loop) -> None:
    """S21, S14.20."""
    loop.run_until_complete(asyncio.sleep(0))
    before = open_fds()
    pairs: list[tuple[socket.socket, socket.socket]] = []

    def start() -> Any:
        pairs.append(unix_pair())
        return loop.connect_accepted_socket(Recorder, pairs[-1][0])

    def check() -> None:
        for sock in pairs.pop():
            if sock.fileno() != -1:
                sock.close()
        assert open_fds() == before

    cancel_everywhere(loop, start, end_connection, check)


@ferroloop_only("the server is lost with its sockets", "A1")
def test_create_server(loop: Loop) -> None:
    """S18.11, S18.14: cancelled at every await, nothing listens any more."""
    with steady(loop) as check:
        steps = cancel_everywhere(
            loop,
            lambda: loop.create_server(Recorder, ["127.0.0.1", "127.0.0.2"], 0),
            end_server,
            check,
        )
    assert steps >= 1


def test_create_server_by_name(loop: Loop, slow_lookup: None) -> None:
    """S18.3, S18.11: without serving, so that asyncio can pass as well."""
    with steady(loop) as check:
        cancel_everywhere(
            loop,
            lambda: loop.create_server(Recorder, ["name", "127.0.0.2"], 0, start_serving=False),
            end_server,
            check,
            pause=0.001,
        )


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
def test_connect_pipe(loop: Loop, method: str) -> None:
    """A1, S30.16, S31.21: a cancelled call has closed its own end and no other."""
    with steady(loop) as check:
        other: list[Any] = []

        def start() -> Any:
            ends = pipe()
            mine, theirs = ends if method == "connect_read_pipe" else ends[::-1]
            other.append(theirs)
            return getattr(loop, method)(Recorder, mine)

        def check_and_close() -> None:
            loop.run_until_complete(asyncio.sleep(0))
            theirs = other.pop()
            assert not theirs.closed
            theirs.close()
            check()

        def end(result: Any) -> None:
            result[0].close()

        assert cancel_everywhere(loop, start, end, check_and_close) > 0


def test_subprocess_exec(spawning: Loop) -> None:
    """A1, A5, S32.8: no descriptor, no process and no zombie is left."""
    with steady(spawning) as check:

        def check_children() -> None:
            # One that was cancelled after its process was there has killed it and not waited.
            until(spawning, lambda: not has_children())
            check()

        async def start() -> None:
            transport, family = await spawning.subprocess_exec(Family, "sleep", "100")
            transport.close()
            await eventually(lambda: family.over)

        assert cancel_everywhere(spawning, start, lambda _: None, check_children, 0.0002) > 0


def test_sock_connect(loop: Loop) -> None:
    """S25.5: the caller's socket stays the caller's; no watch is left on it."""
    with listener(backlog=200) as server:
        made: list[socket.socket] = []

        def start() -> Any:
            made.append(socket.socket())
            made[-1].setblocking(False)
            return loop.sock_connect(made[-1], server.getsockname())

        def check() -> None:
            sock = made.pop()
            assert sock.fileno() != -1
            assert loop.remove_writer(sock) is False
            sock.close()

        cancel_everywhere(loop, start, lambda result: None, check)


def test_sock_connect_that_hangs(loop: Loop, run: Run) -> None:
    """S25.5: the same while the kernel is at it."""

    async def main(address: Any) -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.sock_connect(sock, address), 0.03)
            assert loop.remove_writer(sock) is False

    with silent() as address:
        run(main(address))


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
