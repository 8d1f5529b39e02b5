"""One-way traffic: a server that takes all it gets, and one that sends all it can."""

import asyncio
import socket

from servers.listening import serve

_CHUNK = b"x" * (256 * 1024)


class Sink(asyncio.Protocol):
    """Drops what it reads."""

    def data_received(self, data: bytes) -> None:
        """Nothing."""


async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Write without end, as fast as the peer reads."""
    while True:
        writer.write(_CHUNK)
        await writer.drain()


async def receive(sock: socket.socket) -> None:
    """Take what comes in on `sock`'s connections."""
    await serve(Sink, sock)


async def send(sock: socket.socket) -> None:
    """Fill `sock`'s connections."""
    await asyncio.start_server(pour, sock=sock)
