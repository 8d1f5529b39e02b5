"""Unix stream sockets: listeners under the test's own control, and servers."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

from support.protocols import Recorder


@contextlib.contextmanager
def listening(address: str | bytes, backlog: int = 10) -> Iterator[socket.socket]:
    """A listening socket that accepts nothing by itself."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(address)
        sock.listen(backlog)
        sock.settimeout(5)
        yield sock


def accept(listener: socket.socket) -> socket.socket:
    """The next connection, non-blocking."""
    peer, _ = listener.accept()
    peer.setblocking(False)
    return peer


@contextlib.asynccontextmanager
async def served(*args: Any, **kwargs: Any) -> AsyncIterator[tuple[Any, list[Recorder]]]:
    """A Unix server and the protocols of its connections; all closed afterwards."""
    protocols: list[Recorder] = []

    def make() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(make, *args, **kwargs)
    try:
        yield server, protocols
    finally:
        server.close()
        for protocol in protocols:
            if protocol.transport is not None:
                protocol.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@contextlib.contextmanager
def full(path: str) -> Iterator[socket.socket]:
    """A listener whose backlog has no place left."""
    with listening(path, backlog=0) as listener, contextlib.ExitStack() as queue:
        while True:
            waiting = queue.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            try:
                waiting.connect(path)
            except BlockingIOError:
                break
        yield listener
