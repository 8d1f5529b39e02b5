"""TLS for the recipes: over a new socket, and over a transport that is there already (asyncio: loop.start_tls)."""

from __future__ import annotations

from asyncio import StreamReaderProtocol

from ._tls import TlsProtocol, ssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from asyncio import BaseProtocol
    from collections.abc import Callable
    from typing import Any

    from ._loop import EventLoop
    from ._tls_transport import SSLTransport


class TlsOptions:
    """What the recipes' TLS keywords ask for."""

    def __init__(
        self,
        context: ssl.SSLContext | bool,
        server_side: bool,
        server_hostname: str | bytes | None,
        handshake_timeout: float | None,
        shutdown_timeout: float | None,
    ) -> None:
        """Raise RuntimeError on a Python built without OpenSSL."""
        _check_available()
        self.context = context
        self.server_side = server_side
        self.server_hostname = server_hostname
        self.handshake_timeout = handshake_timeout
        self.shutdown_timeout = shutdown_timeout

    def protocol(
        self,
        loop: EventLoop,
        app_protocol: BaseProtocol,
        waiter: asyncio.Future[None],
        call_connection_made: bool = True,
    ) -> TlsProtocol:
        """Return the TLS protocol for one connection."""
        return TlsProtocol(
            loop,
            app_protocol,
            self.context,
            waiter,
            server_side=self.server_side,
            server_hostname=self.server_hostname,
            call_connection_made=call_connection_made,
            handshake_timeout=self.handshake_timeout,
            shutdown_timeout=self.shutdown_timeout,
        )

    def serving_factory(
        self, loop: EventLoop, protocol_factory: Callable[[], BaseProtocol]
    ) -> Callable[[], BaseProtocol]:
        """Return a factory for accepted connections: TLS, and above it what `protocol_factory` makes."""

        def factory() -> TlsProtocol:
            app_protocol = protocol_factory()
            waiter: asyncio.Future[None] = loop.create_future()
            layer = self.protocol(loop, app_protocol, waiter)
            transport = layer._app_transport
            waiter.add_done_callback(lambda waiter: _report(loop, waiter, transport, app_protocol))
            return layer

        return factory


def _check_available() -> None:
    if ssl is None:
        raise RuntimeError("Python ssl module is not available")


def _report(loop: EventLoop, waiter: asyncio.Future[None], transport: Any, protocol: BaseProtocol) -> None:
    error = None if waiter.cancelled() else waiter.exception()
    if error is not None and loop.get_debug():
        message = "Error on transport creation for incoming connection"
        context = {"message": message, "exception": error, "transport": transport, "protocol": protocol}
        loop.call_exception_handler(context)


async def start_tls(
    loop: EventLoop,
    transport: asyncio.BaseTransport,
    protocol: BaseProtocol,
    sslcontext: ssl.SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> SSLTransport | None:
    """Upgrade a connection to TLS; return the transport to use from now on.

    `protocol` stays the application's and is not told of a new connection. `server_hostname` is what a client expects
    the certificate to name; the timeouts are in seconds, by default 60 for the handshake and 30 for the end.

    Raises TypeError if `sslcontext` is no SSLContext or the transport cannot carry TLS, ValueError for a timeout that
    is not positive, RuntimeError on a Python without OpenSSL, `ssl.SSLError` and ConnectionError if the handshake
    fails. Refused arguments leave the transport open; after that it is closed unless the call succeeds.
    """
    _check_available()
    if not isinstance(sslcontext, ssl.SSLContext):
        raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
    if not getattr(transport, "_start_tls_compatible", False):
        raise TypeError(f"transport {transport!r} is not supported by start_tls()")
    waiter: asyncio.Future[None] = loop.create_future()
    options = TlsOptions(sslcontext, server_side, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
    tls = options.protocol(loop, protocol, waiter, call_connection_made=False)
    # Nothing may arrive before TLS is ready for it.
    transport.pause_reading()  # type: ignore[attr-defined]
    if server_side:
        _move_buffered(protocol, tls)
    if getattr(transport, "_protocol_paused", False):
        tls._inherit_pause()
    transport.set_protocol(tls)
    started = loop.call_soon(tls.connection_made, transport)
    resumed = loop.call_soon(transport.resume_reading)  # type: ignore[attr-defined]
    try:
        await waiter
    except BaseException:
        transport.close()
        started.cancel()
        resumed.cancel()
        raise
    finally:
        del waiter  # it may hold the error, whose traceback holds this frame
    upgraded: SSLTransport | None = tls._app_transport
    return upgraded


def _move_buffered(protocol: BaseProtocol, tls: TlsProtocol) -> None:
    """Give TLS what a stream reader has of the client's first records already."""
    if isinstance(protocol, StreamReaderProtocol):
        reader = protocol._stream_reader  # type: ignore[attr-defined]
        if reader is not None and reader._buffer:
            tls._incoming.write(reader._buffer)
            reader._buffer.clear()
