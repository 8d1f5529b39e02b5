"""Making transports: the last step of every recipe that ends in a connection."""

from __future__ import annotations

from ._ferroloop import StreamTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from asyncio import BaseProtocol, BaseTransport, Future, Transport
    from collections.abc import Callable
    from contextvars import Context
    from typing import Any, TypeVar

    from ._loop import EventLoop
    from ._start_tls import TlsOptions

    _ProtocolT = TypeVar("_ProtocolT", bound=BaseProtocol)


def _make_socket_transport(
    loop: EventLoop,
    sock: socket.socket,
    protocol: BaseProtocol,
    waiter: Future[None] | None = None,
    *,
    extra: dict[str, Any] | None = None,
    server: Any = None,
    context: Context | None = None,
) -> StreamTransport:
    """Give `sock`, connected and non-blocking, to a transport (a name of asyncio's that others know)."""
    return StreamTransport(loop, sock, protocol, waiter, extra, server, context)


async def connect_transport(
    loop: EventLoop,
    sock: socket.socket,
    protocol_factory: Callable[[], _ProtocolT],
    tls: TlsOptions | None = None,
) -> tuple[Transport, _ProtocolT]:
    """Make the protocol and the transport of a connected socket; return them once `connection_made` was called.

    With `tls` that is after the handshake. Whatever fails, or if the caller is cancelled, the socket is closed: here
    until the transport owns it, by the transport from then on.
    """
    try:
        sock.setblocking(False)
        protocol = protocol_factory()
        waiter: Future[None] = loop.create_future()
        transport = _make_transport(loop, sock, protocol, waiter, tls)
    except BaseException:
        sock.close()
        raise
    try:
        await finish(transport, waiter)
    finally:
        del waiter  # it may hold the error, whose traceback holds this frame
    return transport, protocol


async def finish(transport: BaseTransport, waiter: Future[None]) -> None:
    """Wait until `connection_made` was called; close the transport if that fails or the caller is cancelled."""
    try:
        await waiter
    except BaseException:
        transport.close()
        raise
    finally:
        del waiter  # it may hold the error, whose traceback holds this frame


def _make_transport(
    loop: EventLoop, sock: socket.socket, protocol: BaseProtocol, waiter: Future[None], tls: TlsOptions | None
) -> Transport:
    if tls is None:
        return loop._make_socket_transport(sock, protocol, waiter)
    layer = tls.protocol(loop, protocol, waiter)
    transport: Transport = layer._app_transport
    loop._make_socket_transport(sock, layer)
    return transport
