"""The object that `create_server` returns (asyncio: Server Objects)."""

from __future__ import annotations

import asyncio
import contextvars
import operator
import sys
from asyncio.trsock import TransportSocket
from collections.abc import Callable

from ._checks import refuse_copy
from ._ferroloop import Acceptor, Clients

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from ssl import SSLContext
    from typing import NoReturn

    from ._loop import EventLoop
    from ._start_tls import TlsOptions
    from ._unix import SocketFile


_ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class Server(Clients, asyncio.AbstractServer):
    """Listening sockets, and the connections accepted from them, which `Clients` keeps."""

    def __init__(
        self,
        loop: EventLoop,
        sockets: Sequence[socket.socket],
        protocol_factory: _ProtocolFactory,
        backlog: int,
        socket_file: SocketFile | None = None,
        ssl_context: SSLContext | bool | None = None,
    ) -> None:
        self._loop = loop
        # None once closed.
        self._sockets: Sequence[socket.socket] | None = sockets
        self._protocol_factory = protocol_factory
        self._backlog = backlog
        # Removed when the sockets are closed.
        self._socket_file = socket_file
        # For others to look at (a name of asyncio's): the protocol factory has its own.
        self._ssl_context = ssl_context
        self._serving = False
        # Set by `drain`: the connections are its own to end.
        self._draining = False
        self._acceptors: list[Acceptor] = []
        self._serving_forever: asyncio.Future[None] | None = None
        # None once the server is closed and the last connection gone.
        self._waiters: list[asyncio.Future[None]] | None = []
        # Connections inherit the context of whoever made the server; before 3.15 of whoever started it.
        self._context = contextvars.copy_context() if sys.version_info >= (3, 15) else None

    __reduce__ = refuse_copy

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    # Introspection.

    def get_loop(self) -> EventLoop:
        """Return the loop the server belongs to."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether the server accepts connections."""
        return self._serving

    @property
    def sockets(self) -> tuple[TransportSocket, ...]:
        """Views of the listening sockets; empty once closed."""
        return tuple(TransportSocket(sock) for sock in self._sockets or ())

    def stats(self) -> dict[str, int]:
        """Return what the server has accepted so far and has to do now, by name.

        `accepted`: the connections that accept(2) has given, whatever became of them: those whose protocol could not be
        made and those whose TLS handshake failed are among them.
        `clients`: the connections there are, which are those that `drain` waits for. One counts from when its protocol
        has been made, so during its TLS handshake, until its protocol's `connection_lost`.
        `listening`: on how many sockets the server listens; none before it serves, none once it is closed.
        `accept_errors`: how often accept(2) had no descriptor or no memory for a connection (EMFILE, ENFILE, ENOBUFS,
        ENOMEM). Then its socket has a pause of one second, and connections wait in the backlog.
        `paused`: how many sockets have such a pause now.

        The server counts always. May be called from any thread; a closed server keeps its numbers.
        """
        accepted, clients, accept_errors = self._counts()
        return {
            "accepted": accepted,
            "clients": clients,
            "listening": len(self._acceptors),
            "accept_errors": accept_errors,
            "paused": sum(acceptor._paused for acceptor in self._acceptors),
        }

    # Serving.

    def _start_serving(self) -> None:
        if self._sockets is None:
            self._raise_closed()
        if self._serving:
            return
        for sock in self._sockets:
            sock.listen(self._backlog)
        self._serving = True
        at_once = max(operator.index(self._backlog), 0)  # as listen(2) reads it
        for sock in self._sockets:
            acceptor = Acceptor(self._loop, sock, self._protocol_factory, self, at_once, self._context)
            self._acceptors.append(acceptor)

    async def start_serving(self) -> None:
        """Start accepting connections, if that has not been done. Raises RuntimeError on a closed server."""
        self._start_serving()
        await asyncio.sleep(0)

    async def serve_forever(self) -> None:
        """Accept connections until cancelled, or until `close()`, which cancels this too.

        Then the server is closed, from Python 3.14 on its connections as well, and from 3.12 on they are waited for.
        `drain()` ends this, too, and closes none of them. Raises RuntimeError on a closed server, or if another call is
        waiting.
        """
        if self._serving_forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self._start_serving()
        self._serving_forever = self._loop.create_future()
        try:
            await self._serving_forever
        except asyncio.CancelledError:
            await self._shut_down()
            raise
        finally:
            self._serving_forever = None

    async def _shut_down(self) -> None:
        self.close()
        if self._draining:
            await self._emptied()
            return
        if sys.version_info >= (3, 14):
            self.close_clients()
        await self.wait_closed()

    # Closing.

    def close(self) -> None:
        """Stop accepting and close the listening sockets; connections live on. Closing twice is fine."""
        sockets = self._sockets
        if sockets is None:
            return
        self._sockets = None
        self._refuse()
        self._serving = False
        for acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()
        for sock in sockets:
            sock.close()
        if self._socket_file is not None:
            self._socket_file.remove()
        if self._serving_forever is not None:
            self._serving_forever.cancel()
            self._serving_forever = None
        if not self._transports():
            self._wake()

    def close_clients(self) -> None:
        """Call `close()` on the transport of every connection."""
        for transport in self._transports():
            transport.close()

    def abort_clients(self) -> None:
        """Call `abort()` on the transport of every connection."""
        for transport in self._transports():
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and no connection is left.

        On Python 3.11 a server that is closed already is not waited for, whatever its connections: programs written
        for it rely on that.
        """
        if sys.version_info >= (3, 12) or self._sockets is not None:
            await self._emptied()

    async def _emptied(self) -> None:
        """Wait until the server is closed and no connection is left, on every Python."""
        if self._waiters is None:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    async def drain(self, timeout: float | None = None) -> int:
        """Close the server and let its connections end by themselves; abort those left after `timeout` seconds.

        None means that they may take as long as they like; a negative number, or NaN, is 0. Returns how many were left
        to abort, once all are lost. A connection counts from when it is accepted, so during its TLS handshake, too;
        what nobody has accepted yet is dropped, as by `close()`.

        The server may be closed already, and several calls may wait at once. `serve_forever()` is cancelled, but ends
        with the last connection. If this is cancelled the server stays closed and the connections are left alone.

        Raises TypeError for a `timeout` that is neither int nor float, OverflowError for an int too large for a float;
        nothing is closed then.
        """
        aborted = 0

        def abort_rest() -> None:
            nonlocal aborted
            aborted = len(self._transports())
            self.abort_clients()

        deadline = None if timeout is None else self._loop.call_later(timeout, abort_rest)
        try:
            self._draining = True
            self.close()
            await self._emptied()
        finally:
            if deadline is not None:
                deadline.cancel()
        return aborted

    # Called by `Clients`: the server is closed and no connection is left, or one is to be refused.

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def _raise_closed(self) -> NoReturn:
        raise RuntimeError(f"server {self!r} is closed")


async def open_server(
    loop: EventLoop,
    sockets: Sequence[socket.socket],
    protocol_factory: _ProtocolFactory,
    backlog: int,
    start_serving: bool,
    socket_file: SocketFile | None = None,
    tls: TlsOptions | None = None,
) -> Server:
    """A server of bound sockets, serving already if that is asked for. If it fails, the sockets are closed."""
    if tls is not None:
        protocol_factory = tls.serving_factory(loop, protocol_factory)
    server = Server(loop, sockets, protocol_factory, backlog, socket_file, None if tls is None else tls.context)
    try:
        for sock in sockets:
            sock.setblocking(False)
        if start_serving:
            await server.start_serving()
    except BaseException:
        server.close()
        raise
    return server
