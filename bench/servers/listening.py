"""Serving on a socket of any family."""

import asyncio
import socket
import ssl
from collections.abc import Callable


async def serve(
    factory: Callable[[], asyncio.BaseProtocol], sock: socket.socket, context: ssl.SSLContext | None = None
) -> None:
    """Serve on `sock`, which may be a Unix socket, over TLS if there is a context."""
    loop = asyncio.get_running_loop()
    create_server = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
    await create_server(factory, sock=sock, ssl=context)
