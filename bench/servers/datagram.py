"""Echo of datagrams."""

import asyncio
import socket
from typing import cast


class Echo(asyncio.DatagramProtocol):
    """Sends each datagram back to where it came from."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Echo."""
        self.transport.sendto(data, addr)


async def start(sock: socket.socket) -> None:
    """Serve on `sock`."""
    await asyncio.get_running_loop().create_datagram_endpoint(Echo, sock=sock)
