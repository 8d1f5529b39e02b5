"""The socket of a stream, as its transport shows it."""

from __future__ import annotations

import weakref
from asyncio.trsock import TransportSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import socket
    from typing import Any


class StreamSocket(TransportSocket):
    """asyncio's view of a socket. What has been written to the transport leaves before anything is done by it."""

    __slots__ = ("_transport",)

    def __init__(self, sock: socket.socket, transport: asyncio.Transport) -> None:
        super().__init__(sock)
        self._transport = weakref.ref(transport)

    def _flush(self) -> None:
        transport = self._transport()
        if transport is not None:
            transport.get_extra_info("socket")

    def fileno(self) -> int:
        self._flush()
        return super().fileno()

    def dup(self) -> socket.socket:
        self._flush()
        return super().dup()

    def setsockopt(self, *args: Any, **kwargs: Any) -> None:
        self._flush()
        super().setsockopt(*args, **kwargs)

    def shutdown(self, how: int) -> None:
        self._flush()
        super().shutdown(how)
