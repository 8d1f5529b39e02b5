"""Echo by an asyncio.BufferedProtocol."""

import asyncio
import socket
import ssl
from typing import cast

from servers.listening import serve

_SIZE = 256 * 1024


class Echo(asyncio.BufferedProtocol):
    """Writes back what arrived in its buffer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, make the buffer."""
        self.transport = cast(asyncio.Transport, transport)
        self.buffer = memoryview(bytearray(_SIZE))

    def get_buffer(self, sizehint: int) -> memoryview:
        """The same memory each time."""
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Echo a copy: what a loop has not sent yet must not change under it."""
        self.transport.write(bytes(self.buffer[:nbytes]))


async def start(sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
    """Serve on `sock`."""
    await serve(Echo, sock, context)
