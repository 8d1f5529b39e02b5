"""Echo by an asyncio.Protocol."""

import asyncio
import socket
import ssl
from typing import cast

from servers.listening import serve


class Echo(asyncio.Protocol):
    """Writes back what it reads."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Echo."""
        self.transport.write(data)


async def start(sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
    """Serve on `sock`."""
    await serve(Echo, sock, context)
