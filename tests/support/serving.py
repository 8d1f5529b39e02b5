"""A server whose connections are recorded, with clients to it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

from support.net import eventually
from support.protocols import Recorder


class Served:
    """A server that records its connections."""

    def __init__(self) -> None:
        self.protocols: list[Recorder] = []
        self.server: Any = None
        self.clients: list[socket.socket] = []

    def factory(self) -> Recorder:
        """Make a protocol and remember it."""
        self.protocols.append(Recorder())
        return self.protocols[-1]

    async def connect(self) -> tuple[socket.socket, Recorder]:
        """A client's socket and the protocol of its connection."""
        client = socket.create_connection(self.server.sockets[0].getsockname())
        client.setblocking(False)
        self.clients.append(client)
        count = len(self.clients)
        await eventually(lambda: len(self.protocols) >= count and self.protocols[-1].transport)
        return client, self.protocols[-1]


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Served]:
    """A server on the loopback, closed with all its connections afterwards."""
    served = Served()
    loop = asyncio.get_running_loop()
    served.server = await loop.create_server(served.factory, "127.0.0.1", 0, **options)
    try:
        yield served
    finally:
        served.server.close()
        for protocol in served.protocols:
            if protocol.transport and not protocol.lost:
                protocol.transport.abort()
        for client in served.clients:
            client.close()
        await asyncio.sleep(0.001)
