"""A reverse HTTP proxy. `python proxy.py HOST:PORT [PORT]` forwards each request and streams bodies both ways.

One request per connection, so that the end of a connection is the end of an answer. A slow reader slows its sender
down: `drain` waits while the other side's buffer is full, so no body is ever held in memory.
"""

import asyncio
import contextlib
import sys
from asyncio import StreamReader, StreamWriter

import ferroloop

_HEAD_SECONDS = 10
_BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Forwards to one address."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection of a client."""
        try:
            await self._forward(reader, writer)
        except ConnectionError:
            writer.transport.abort()
        finally:
            writer.close()

    async def _forward(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            writer.write(_BAD_REQUEST)
            return
        try:
            there, to_there = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.write(_BAD_GATEWAY)
            return
        to_there.write(self._rewritten(head))
        sending = asyncio.create_task(_pour(reader, to_there))
        try:
            await _pour(there, writer)
        finally:
            # The answer is complete; whatever of the request is still coming, nobody wants.
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            to_there.close()

    def _rewritten(self, head: bytes) -> bytes:
        """The head of the request with this server's name, and without a wish to keep the connection."""
        request, *fields = head[:-4].split(b"\r\n")
        kept = [field for field in fields if field.partition(b":")[0].lower() not in (b"host", b"connection")]
        name = f"{self._host}:{self._port}".encode()
        return b"\r\n".join([request, b"Host: " + name, b"Connection: close", *kept]) + b"\r\n\r\n"


async def _pour(reader: StreamReader, writer: StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def main(upstream: str, port: int) -> None:
    """Serve until cancelled."""
    host, _, upstream_port = upstream.rpartition(":")
    proxy = Proxy(host, int(upstream_port))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", port)
    print("listening on", *server.sockets[0].getsockname(), flush=True)
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        server.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        ferroloop.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
