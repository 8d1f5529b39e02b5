"""Echo by sock_accept, sock_recv and sock_sendall, a task for each connection."""

import asyncio
import socket
from collections.abc import Coroutine

_READ_SIZE = 64 * 1024

# The loop keeps only weak references to tasks.
_running: set[asyncio.Task[None]] = set()


async def echo(connection: socket.socket) -> None:
    """Write back what is read."""
    loop = asyncio.get_running_loop()
    with connection:
        while data := await loop.sock_recv(connection, _READ_SIZE):
            await loop.sock_sendall(connection, data)


async def accept(sock: socket.socket) -> None:
    """Serve every connection."""
    loop = asyncio.get_running_loop()
    while True:
        connection, _ = await loop.sock_accept(sock)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _run(echo(connection))


def _run(coroutine: Coroutine[object, object, None]) -> None:
    task = asyncio.get_running_loop().create_task(coroutine)
    _running.add(task)
    task.add_done_callback(_running.discard)


async def start(sock: socket.socket) -> None:
    """Serve on `sock`."""
    _run(accept(sock))
