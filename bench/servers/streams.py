"""Echo by asyncio's streams."""

import asyncio
import socket
import ssl

_READ_SIZE = 256 * 1024


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Write back what is read."""
    while data := await reader.read(_READ_SIZE):
        writer.write(data)
        await writer.drain()
    writer.close()


async def start(sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
    """Serve on `sock`."""
    start_server = asyncio.start_unix_server if sock.family == socket.AF_UNIX else asyncio.start_server
    await start_server(echo, sock=sock, ssl=context)
