"""S28: create_unix_connection, and what it shares with create_unix_server."""

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.gates import ferroloop_only, linux_only
from support.loops import Loop, Run
from support.net import eventually, receive_all, scripted
from support.protocols import Recorder
from support.turns import turn
from support.unix import accept, full, listening, served

CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def never() -> Any:
    """A protocol factory that must not be called."""
    raise AssertionError("protocol_factory was called")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a socket may be bound."""
    return str(tmp_path / "socket")


WRONG_CONNECTION: dict[str, tuple[dict[str, Any], type[Exception], str | None]] = {
    "hostname of another type": (
        {"path": "p", "ssl": CONTEXT, "server_hostname": b"h"},
        AssertionError,
        None,
    ),
    "ssl without hostname": (
        {"path": "p", "ssl": CONTEXT},
        ValueError,
        "^you have to pass server_hostname when using ssl$",
    ),
    "hostname without ssl": (
        {"path": "p", "server_hostname": "h"},
        ValueError,
        "^server_hostname is only meaningful with ssl$",
    ),
    "handshake timeout": (
        {"path": "p", "ssl_handshake_timeout": 1.0},
        ValueError,
        "^ssl_handshake_timeout is only meaningful with ssl$",
    ),
    "shutdown timeout": (
        {"path": "p", "ssl_shutdown_timeout": 1.0},
        ValueError,
        "^ssl_shutdown_timeout is only meaningful with ssl$",
    ),
    "nothing": ({}, ValueError, "^no path and sock were specified$"),
    "no path": ({"path": 3}, TypeError, "expected str, bytes or os.PathLike object, not int"),
}


@pytest.mark.parametrize("name", WRONG_CONNECTION)
def test_wrong_connection(loop: Loop, run: Run, name: str) -> None:
    """S28.1-S28.5, S28.10."""
    kwargs, kind, text = WRONG_CONNECTION[name]
    with pytest.raises(kind, match=text):
        run(loop.create_unix_connection(never, **kwargs))


@pytest.mark.parametrize("make", ["create_unix_connection", "create_unix_server"])
def test_path_and_sock(loop: Loop, run: Run, make: str) -> None:
    """S28.4, S29.2: the caller's socket stays the caller's."""
    with socket.socket(socket.AF_UNIX) as sock:
        text = "^path and sock can not be specified at the same time$"
        with pytest.raises(ValueError, match=text):
            run(getattr(loop, make)(never, "p", sock=sock))
        assert sock.fileno() != -1


@pytest.mark.parametrize("make", ["create_unix_connection", "create_unix_server"])
@pytest.mark.parametrize(
    ("family", "kind"),
    [
        (socket.AF_INET, socket.SOCK_STREAM),
        (socket.AF_UNIX, socket.SOCK_DGRAM),
        (socket.AF_UNIX, socket.SOCK_SEQPACKET),
    ],
)
def test_other_sockets(loop: Loop, run: Run, make: str, family: int, kind: int) -> None:
    """S28.6, S29.3."""
    with socket.socket(family, kind) as sock:
        with pytest.raises(ValueError, match="A UNIX Domain Stream Socket was expected") as caught:
            run(getattr(loop, make)(never, sock=sock))
        assert str(caught.value) == f"A UNIX Domain Stream Socket was expected, got {sock!r}"
        assert sock.fileno() != -1


@pytest.mark.parametrize("form", [str, os.fsencode, Path])
def test_connects(loop: Loop, run: Run, path: str, form: Callable[[str], Any]) -> None:
    """S28.5, S14.22: a path as text, bytes or path object."""

    async def main(listener: socket.socket) -> None:
        made = Recorder()
        transport, protocol = await loop.create_unix_connection(lambda: made, form(path))
        assert protocol is made
        assert made.names == ["made"]
        peer = accept(listener)
        transport.write(b"data")
        transport.close()
        assert await receive_all(peer) == b"data"
        peer.close()

    with listening(path) as listener:
        run(main(listener))


@linux_only
@pytest.mark.parametrize("name", ["\0ferroloop-{}", b"\0ferroloop-\xff-{}"])
def test_abstract_names(loop: Loop, run: Run, name: Any) -> None:
    """S28.5, S29.6, S29.11, S16.4: nothing in the file system; the name comes back as bytes."""
    unique = str(os.getpid())
    name = name.replace(b"{}", unique.encode()) if isinstance(name, bytes) else name.format(unique)
    raw = name if isinstance(name, bytes) else name.encode()

    async def main() -> None:
        async with served(name) as (server, protocols):
            transport, _ = await loop.create_unix_connection(Recorder, name)
            assert transport.get_extra_info("peername") == raw
            assert transport.get_extra_info("sockname") == ""
            await eventually(lambda: protocols and protocols[0].transport)
            accepted = protocols[0].transport
            assert accepted.get_extra_info("sockname") == raw
            assert accepted.get_extra_info("peername") == ""
            assert server.sockets[0].getsockname() == raw
            transport.abort()

    run(main())


def test_takes_a_socket_over(loop: Loop, run: Run) -> None:
    """S28.6, S14.19, S46.1: it becomes non-blocking."""

    async def main() -> None:
        left, right = socket.socketpair()
        transport, protocol = await loop.create_unix_connection(Recorder, sock=left)
        assert left.gettimeout() == 0
        assert isinstance(transport.get_extra_info("socket"), asyncio.trsock.TransportSocket)
        right.send(b"data")
        await eventually(lambda: protocol.data == b"data")
        right.close()
        await eventually(lambda: protocol.lost == [None])
        assert left.fileno() == -1

    run(main())


def test_missing(loop: Loop, run: Run, path: str) -> None:
    """S28.7: plain errors; the protocol is made only when the connection stands."""
    with pytest.raises(FileNotFoundError):
        run(loop.create_unix_connection(never, path))


def test_refused(loop: Loop, run: Run, path: str) -> None:
    """S28.7: a file nobody listens on."""
    with listening(path):
        pass
    with pytest.raises(ConnectionRefusedError):
        run(loop.create_unix_connection(never, path))


@ferroloop_only("leaks the socket", "S14.20", when=sys.version_info < (3, 14))
def test_failing_factory(loop: Loop, run: Run, path: str) -> None:
    """S28.9, S14.20: nothing is left open (see the fixture)."""

    def fail() -> Any:
        raise ZeroDivisionError

    with listening(path), pytest.raises(ZeroDivisionError):
        run(loop.create_unix_connection(fail, path))


class Refused(ConnectionRefusedError):
    """Can be referred to weakly."""


def test_failed_call_leaves_no_cycle(loop_class: type) -> None:
    """S28.9, S14.24: the error dies without the collector."""

    async def connect(loop: Any, sock: socket.socket, address: Any) -> None:
        raise Refused

    async def main() -> "weakref.ref[Refused]":
        try:
            await loop.create_unix_connection(never, "path")
        except Refused as exc:
            return weakref.ref(exc)
        raise AssertionError

    loop = scripted(loop_class, connect=connect)
    gc.collect()
    gc.disable()
    try:
        assert loop.run_until_complete(main())() is None
    finally:
        gc.enable()
        loop.close()


FALSE_SUCCESS = "reports success on a socket that is not connected"


@ferroloop_only(FALSE_SUCCESS, "S28.8")
def test_full_backlog(loop: Loop, run: Run, path: str) -> None:
    """S28.8: retried until there is room, without spinning."""

    async def main(listener: socket.socket) -> None:
        connecting = asyncio.ensure_future(loop.create_unix_connection(Recorder, path))
        used = time.thread_time()
        await asyncio.sleep(0.3)
        assert not connecting.done()
        assert time.thread_time() - used < 0.15
        with accept(listener):
            transport, _ = await connecting
        transport.close()
        assert transport.get_extra_info("peername") == path

    with full(path) as listener:
        run(main(listener))


@ferroloop_only(FALSE_SUCCESS, "S28.8")
def test_full_backlog_of_sock_connect(loop: Loop, run: Run, path: str) -> None:
    """S28.8."""

    async def main(listener: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            connecting = asyncio.ensure_future(loop.sock_connect(sock, path))
            await asyncio.sleep(0.05)
            assert not connecting.done()
            accept(listener).close()
            await connecting
            assert sock.getpeername() == path

    with full(path) as listener:
        run(main(listener))


@ferroloop_only(FALSE_SUCCESS, "S28.8")
def test_refused_while_full(loop: Loop, run: Run, path: str) -> None:
    """S28.8, S28.7: the listener goes away."""

    async def main(listener: socket.socket) -> None:
        connecting = asyncio.ensure_future(loop.create_unix_connection(never, path))
        await asyncio.sleep(0.02)
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await connecting

    with full(path) as listener:
        run(main(listener))


@ferroloop_only(FALSE_SUCCESS, "S28.8")
def test_cancelled_while_full(loop: Loop, run: Run, path: str) -> None:
    """S28.8, S28.7: the socket is closed (see the fixture)."""

    async def main() -> None:
        connecting = asyncio.ensure_future(loop.create_unix_connection(never, path))
        await asyncio.sleep(0.02)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    with full(path):
        run(main())


def test_cancelled_at_every_step(loop: Loop, path: str) -> None:
    """S28.7, S14.21: whatever has begun, no socket is left (see the fixture)."""
    with listening(path):
        for turns in range(6):
            task = loop.create_task(loop.create_unix_connection(Recorder, path))
            turn(loop, turns)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                transport, _ = loop.run_until_complete(task)
                transport.abort()
            turn(loop, 3)
