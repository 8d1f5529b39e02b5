"""Sockets on the loopback: peers under the test's own control, and scripted name resolution."""

import asyncio
import contextlib
import os
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from support.protocols import Recorder

Address = tuple[str, int]
STREAM = socket.SOCK_STREAM


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected non-blocking TCP sockets; the kernel takes little from the first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = socket.create_connection(listener.getsockname())
        right, _ = listener.accept()
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    left.setblocking(False)
    right.setblocking(False)
    return left, right


def unix_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected non-blocking Unix stream sockets: no latency, exact buffers."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    return left, right


@contextlib.asynccontextmanager
async def connection(
    make: Callable[[], Any] = Recorder,
    pair: Callable[[], tuple[socket.socket, socket.socket]] = tcp_pair,
) -> AsyncIterator[tuple[Any, Any, socket.socket]]:
    """A transport, its protocol and the raw socket of the peer; all closed afterwards."""
    left, right = pair()
    transport, protocol = await asyncio.get_running_loop().create_connection(make, sock=left)
    try:
        yield transport, protocol, right
    finally:
        right.close()
        if transport.get_extra_info("socket").fileno() != -1:
            transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def receive(peer: socket.socket, size: int) -> bytes:
    """Exactly this many bytes from a non-blocking socket, or what came before its end."""
    data = bytearray()
    while len(data) < size:
        try:
            piece = peer.recv(min(size - len(data), 1 << 20))
        except BlockingIOError:
            await asyncio.sleep(0)
            continue
        if not piece:
            break
        data += piece
    return bytes(data)


async def receive_all(peer: socket.socket) -> bytes:
    """Everything until the end of the stream."""
    return await receive(peer, 1 << 40)


async def send(peer: socket.socket, data: bytes) -> None:
    """All of the data into a non-blocking socket."""
    view = memoryview(data)
    while view:
        try:
            view = view[peer.send(view) :]
        except BlockingIOError:
            await asyncio.sleep(0)


def readable(peer: socket.socket) -> bool:
    """Whether something, or the end, has come in."""
    return bool(select.select([peer], [], [], 0)[0])


def reset(peer: socket.socket) -> None:
    """Close so that the other side sees a connection reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


async def eventually(holds: Callable[..., object], seconds: float = 5) -> None:
    """Wait until the predicate holds."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.001)


@contextlib.contextmanager
def listener(host: str = "127.0.0.1", backlog: int = 10) -> Iterator[socket.socket]:
    """A listening socket that accepts nothing by itself."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=backlog) as sock:
        sock.settimeout(5)
        yield sock


def bind_error(number: int) -> str:
    """How S14.13 spells an error of bind."""
    text = os.strerror(number).lower()
    return f"[errno {number}] {text}" if sys.version_info >= (3, 13) else text


@contextlib.contextmanager
def refusing(host: str = "127.0.0.1") -> Iterator[Address]:
    """An address where connections are refused: bound, not listening."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind((host, 0))
        yield sock.getsockname()[:2]


@contextlib.contextmanager
def silent() -> Iterator[Address]:
    """An address where connecting takes for ever: the accept queue is full."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        queue = []
        for _ in range(3):
            queue.append(socket.socket())
            queue[-1].setblocking(False)
            with contextlib.suppress(BlockingIOError):
                queue[-1].connect(sock.getsockname())
        time.sleep(0.01)
        try:
            yield sock.getsockname()
        finally:
            for waiting in queue:
                waiting.close()


@contextlib.contextmanager
def ssl_socket() -> Iterator[ssl.SSLSocket]:
    """What no transport accepts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with context.wrap_socket(socket.socket()) as sock:
        yield sock


def has_ipv6() -> bool:
    """Whether the loopback speaks IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def info(host: str, port: int) -> tuple[Any, ...]:
    """The getaddrinfo entry of an address."""
    if ":" in host:
        return (socket.AF_INET6, STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))
    return (socket.AF_INET, STREAM, socket.IPPROTO_TCP, "", (host, port))


def scripted(
    loop_class: type,
    names: dict[str, list[tuple[Any, ...]]] | None = None,
    connect: Callable[[Any, socket.socket, Any], Any] | None = None,
) -> Any:
    """A loop whose lookups answer from a table and whose connects may be taken over (S1.9).

    `connect(loop, sock, address)` is an async function in place of sock_connect. The lookups made
    are in the loop's `asked`.
    """

    class Scripted(loop_class):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.asked: list[tuple[Any, Any]] = []

        async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> Any:
            self.asked.append((host, port))
            if names is None or host not in names:
                raise socket.gaierror(socket.EAI_NONAME, "scripted: unknown name")
            return names[host]

        async def sock_connect(self, sock: socket.socket, address: Any) -> Any:
            if connect is None:
                return await super().sock_connect(sock, address)
            return await connect(self, sock, address)

        async def really_connect(self, sock: socket.socket, address: Any) -> Any:
            return await super().sock_connect(sock, address)

    return Scripted()
