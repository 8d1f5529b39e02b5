"""A TLS peer under the test's own control, on a raw socket, and a connection to it."""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

from support.certificates import HOST, client_context, server_context
from support.net import eventually, tcp_pair
from support.protocols import Recorder


class Peer:
    """The other end: what it sends can be split, held back and cut off at any byte."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_side: bool = True) -> None:
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server_side else HOST
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side, name)
        # The bytes of one send.
        self.piece = 1 << 20

    async def flush(self) -> None:
        """Send the records made so far."""
        await self.send_raw(self.outgoing.read())

    async def send_raw(self, data: bytes) -> None:
        """Send these bytes piece by piece; between two of them the other side runs."""
        view = memoryview(data)
        while view:
            with contextlib.suppress(BlockingIOError):
                view = view[self.sock.send(view[: self.piece]) :]
            await asyncio.sleep(0)

    async def take(self) -> None:
        """Give OpenSSL what has come, waiting for something to come. Raises EOFError at the end of the stream."""
        while True:
            try:
                data = self.sock.recv(1 << 18)
            except BlockingIOError:
                await asyncio.sleep(0)
                continue
            if not data:
                self.incoming.write_eof()
                raise EOFError
            self.incoming.write(data)
            return

    async def _drive(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self.flush()
                await self.take()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    await self.flush()  # the alert
                raise
            else:
                await self.flush()
                return result

    async def handshake(self) -> None:
        """Shake hands."""
        await self._drive(self.tls.do_handshake)

    def records(self, data: bytes) -> bytes:
        """The records of application data, to be sent by hand."""
        self.tls.write(data)
        return self.outgoing.read()

    async def send(self, data: bytes) -> None:
        """Send application data."""
        await self.send_raw(self.records(data))

    async def receive(self, size: int) -> bytes:
        """Exactly this much application data, or what came before a close_notify."""
        data = bytearray()
        while len(data) < size:
            piece = await self._drive(functools.partial(self.tls.read, size - len(data)))
            if not piece:
                break
            data += piece
        return bytes(data)

    def goodbye(self) -> bytes:
        """Our close_notify, to be sent by hand."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.outgoing.read()

    async def unwrap(self) -> None:
        """Exchange close_notifies."""
        await self._drive(self.tls.unwrap)


@contextlib.asynccontextmanager
async def tls_connection(
    make: Callable[[], Any] = Recorder,
    server_side: bool = False,
    pair: Callable[[], tuple[socket.socket, socket.socket]] = tcp_pair,
    context: ssl.SSLContext | None = None,
    peer_context: ssl.SSLContext | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Any, Any, Peer]]:
    """A TLS transport after its handshake, its protocol, and the peer; all closed afterwards."""
    loop = asyncio.get_running_loop()
    left, right = pair()
    contexts: list[Callable[[], ssl.SSLContext]] = [client_context, server_context]
    peer = Peer(right, peer_context or contexts[not server_side](), server_side=not server_side)
    context = context or contexts[server_side]()
    shaking = loop.create_task(peer.handshake())
    try:
        if server_side:
            transport, protocol = await loop.connect_accepted_socket(make, left, ssl=context, **options)
        else:
            transport, protocol = await loop.create_connection(
                make, sock=left, ssl=context, server_hostname=HOST, **options
            )
        await shaking
    except BaseException:
        shaking.cancel()
        await asyncio.wait([shaking])
        shaking.exception() if not shaking.cancelled() else None
        right.close()
        raise
    raw = transport.get_extra_info("socket")
    try:
        yield transport, protocol, peer
    finally:
        right.close()
        transport.abort()
        await eventually(lambda: raw.fileno() == -1)
        await asyncio.sleep(0)
