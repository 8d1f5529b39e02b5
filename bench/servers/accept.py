"""One answer for each connection, then the server closes it."""

import asyncio
import socket
import ssl
from typing import cast

from servers.listening import serve


class Once(asyncio.Protocol):
    """Echoes what comes first and says goodbye."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Echo and close."""
        self.transport.write(data)
        self.transport.close()


async def start(sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
    """Serve on `sock`."""
    await serve(Once, sock, context)
