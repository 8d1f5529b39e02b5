"""A1: no descriptor is left or lost, whatever is cancelled at whichever await."""

import asyncio
import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.cancelling import cancel_everywhere
from support.fds import open_fds
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import eventually, info, listener, refusing, scripted, silent, tcp_pair, unix_pair
from support.pipes import pipe
from support.processes import Family, has_children
from support.protocols import Recorder
from support.turns import until


@contextlib.contextmanager
def steady(loop: Loop) -> Iterator[Callable[[], None]]:
    """A check that the open descriptors are those of now; asyncio's lazy ones exist already."""
    loop.run_until_complete(asyncio.sleep(0))
    before = open_fds()

    def check() -> None:
        assert open_fds() == before

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
                lambda delay=delay: loop.create_connection(
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
