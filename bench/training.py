"""What programs do most, for a compiler that counts: `training.py SECONDS` runs the suite's workloads on ferroloop.

Each for SECONDS, servers and clients on one loop; nothing is measured here. Left out are those of many connections, the
footprint, what needs a database, and Unix sockets, which take the ways of TCP.
"""

import asyncio
import functools
import logging
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import Any, cast

from certificate import AUTHORITY, SERVER, made
from in_loop import InLoop
from peers import OURS, new_event_loop
from served import Served
from servers import KINDS
from servers.hello import BODY
from workloads import ALL

_CONNECTIONS = 16
_CHUNK = 256 * 1024
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

Serve = Callable[..., Awaitable[None]]
# Gives the two streams, or the transport and the protocol of a datagram client.
Connect = Callable[..., Awaitable[tuple[Any, Any]]]


def main(seconds: float) -> None:
    """Run all that can be run, one after the other."""
    # The servers know no end but that of their process, and would complain of this one.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    for workload in ALL:
        if isinstance(workload, InLoop) and workload.service is None:
            with closing(new_event_loop(OURS)) as loop:
                next(workload.measure(loop, [seconds]))
        elif isinstance(workload, Served) and workload.transport in _SERVERS and workload.connections <= _CONNECTIONS:
            with asyncio.Runner(loop_factory=functools.partial(new_event_loop, OURS)) as runner:
                runner.run(_load(workload, seconds))


async def _load(workload: Served, seconds: float) -> None:
    mode, *options = workload.load
    size = int(options[options.index("--size") + 1]) if "--size" in options else 1
    converse = _datagrams if workload.transport == "udp" else _CLIENTS[mode]
    connect = await _SERVERS[workload.transport](KINDS[workload.kind])
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(converse(connect, size) for _ in range(_CONNECTIONS)))


async def _tcp(serve: Serve) -> Connect:
    sock, address = _bound(socket.SOCK_STREAM)
    await serve(sock)
    return functools.partial(asyncio.open_connection, *address)


async def _tls(serve: Serve) -> Connect:
    sock, address = _bound(socket.SOCK_STREAM)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made(SERVER))
    await serve(sock, context)
    trusting = ssl.create_default_context(cafile=made(AUTHORITY))
    return functools.partial(asyncio.open_connection, *address, ssl=trusting, server_hostname="localhost")


async def _udp(serve: Serve) -> Connect:
    sock, address = _bound(socket.SOCK_DGRAM)
    await serve(sock)
    return functools.partial(asyncio.get_running_loop().create_datagram_endpoint, remote_addr=address)


def _bound(kind: socket.SocketKind) -> tuple[socket.socket, tuple[str, int]]:
    sock = socket.socket(socket.AF_INET, kind)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock, sock.getsockname()


async def _echo(connect: Connect, size: int) -> None:
    reader, writer = await connect()
    while True:
        writer.write(bytes(size))
        await reader.readexactly(size)


async def _accept(connect: Connect, size: int) -> None:
    while True:
        reader, writer = await connect()
        writer.write(bytes(size))
        await reader.read()
        writer.close()


async def _http(connect: Connect, _: int) -> None:
    reader, writer = await connect()
    while True:
        writer.write(_REQUEST)
        await reader.readuntil(BODY.encode())


async def _send(connect: Connect, _: int) -> None:
    _, writer = await connect()
    while True:
        writer.write(bytes(_CHUNK))
        await writer.drain()


async def _receive(connect: Connect, _: int) -> None:
    reader, _ = await connect()
    while True:
        await reader.read(_CHUNK)


class _Player(asyncio.DatagramProtocol):
    """Serves a datagram, and returns each that comes."""

    def __init__(self, size: int) -> None:
        self._size = size

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._transport.sendto(bytes(self._size))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data)


async def _datagrams(connect: Connect, size: int) -> None:
    await connect(functools.partial(_Player, size))
    await asyncio.Event().wait()


_SERVERS = {"tcp": _tcp, "tls": _tls, "udp": _udp}
# By the mode of the load generator, which sends where the server receives.
_CLIENTS = {"echo": _echo, "accept": _accept, "http": _http, "receive": _send, "send": _receive}

main(float(sys.argv[1]))
