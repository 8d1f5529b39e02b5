"""TLS: what happens once per connection (asyncio: Streams and Transports with `ssl`; RFC 8446, RFC 5246).

Records are the native layer's business. Here are the handshake, the end of the connection, and the timeouts of both.
The `ssl.SSLContext` is the user's and every connection has a real `ssl.SSLObject`, so certificates, server names,
sessions and errors are those of the `ssl` module.
"""

from __future__ import annotations

import asyncio
from asyncio.log import logger

from ._ferroloop import TlsLayer, TlsPhase
from ._tls_transport import SSLTransport

try:
    import ssl as ssl  # the recipes ask here whether there is one
except ImportError:  # a Python built without OpenSSL
    ssl = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._loop import EventLoop


# Seconds (S0.27, asyncio's values).
HANDSHAKE_TIMEOUT = 60.0
SHUTDOWN_TIMEOUT = 30.0

_ENDING = (TlsPhase.FLUSHING, TlsPhase.SHUTDOWN)


class TlsProtocol(TlsLayer, asyncio.Protocol):
    """The protocol of the transport below, and the owner of the transport above."""

    def __init__(
        self,
        loop: EventLoop,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext | bool | None,
        waiter: asyncio.Future[None] | None,
        *,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        call_connection_made: bool = True,
        handshake_timeout: float | None = None,
        shutdown_timeout: float | None = None,
    ) -> None:
        """Prepare TLS between a transport yet to come and `protocol`.

        `waiter` gets the result of the handshake. `server_hostname` is what a client expects the certificate to name.
        `call_connection_made` is false if the protocol has a transport already. The timeouts are in seconds.

        Raises ValueError for a timeout that is not positive and for a server without context; what
        `SSLContext.wrap_bio` raises.
        """
        self._handshake_timeout = _timeout("ssl_handshake_timeout", handshake_timeout, HANDSHAKE_TIMEOUT)
        self._shutdown_timeout = _timeout("ssl_shutdown_timeout", shutdown_timeout, SHUTDOWN_TIMEOUT)
        context = _context(sslcontext, server_side, server_hostname)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = server_hostname if server_hostname and not server_side else None
        sslobj = context.wrap_bio(incoming, outgoing, server_side=server_side, server_hostname=name)
        self._wrap(sslobj, incoming, outgoing)
        self._waiter = waiter
        self._timer: asyncio.TimerHandle | None = None
        self._handshake_started = 0.0
        self._extra: dict[str, Any] = {"sslcontext": context}
        self._connected = not call_connection_made
        self._eof_told = False
        self._eof_received = False
        # None once the connection is lost.
        self._app_transport: Any = SSLTransport(self)

    # The transport below.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake, unless the transport above was closed in the meantime."""
        loop = self._loop
        self._transport = transport
        if self._phase == TlsPhase.CLOSED:
            self._abort(None)
            return
        if loop.get_debug():
            logger.debug("%r starts SSL handshake", self)
            self._handshake_started = loop.time()
        self._phase = TlsPhase.HANDSHAKE
        self._start_timer(self._handshake_timeout, self._check_handshake_timeout)
        self._handshake_step()

    def eof_received(self) -> bool:
        """Take the end of the stream for the end of TLS, as many peers end it without a word."""
        self._eof_received = True
        if self._loop.get_debug():
            logger.debug("%r received EOF", self)
        try:
            return self._end_of_stream()
        except Exception:
            if self._transport is not None:
                self._transport.close()
            raise

    def _end_of_stream(self) -> bool:
        if self._phase == TlsPhase.HANDSHAKE:
            self._handshake_done(ConnectionResetError())
        elif self._phase == TlsPhase.OPEN:
            self._phase = TlsPhase.FLUSHING
            if self._app_reading_paused:
                return True  # received records wait for the application
            self._flush_step()
            return self._phase == TlsPhase.FLUSHING
        elif self._phase == TlsPhase.FLUSHING:
            self._send_backlog()
            self._phase = TlsPhase.SHUTDOWN
            self._shutdown_step()
        elif self._phase == TlsPhase.SHUTDOWN:
            self._shutdown_step()
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the application, and let go of everything."""
        transport, protocol = self._app_transport, self._app_protocol
        if transport is not None:
            transport._closed = True
        if self._phase != TlsPhase.HANDSHAKE and self._connected and protocol is not None:
            self._connected = False
            self._call_soon(protocol.connection_lost, exc)
        self._phase = TlsPhase.CLOSED
        self._transport = None
        self._app_transport = None
        self._app_protocol = None
        self._wake(exc)
        self._stop_timer()
        self._release()

    # The handshake.

    def _handshake_step(self) -> None:
        try:
            self._sslobj.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLSyscallError):
            self._pump()
        except ssl.SSLError as exc:
            # The alert that tells the peer what was wrong.
            self._pump()
            self._handshake_done(exc)
        else:
            self._handshake_done(None)

    def _handshake_done(self, error: Exception | None) -> None:
        self._stop_timer()
        try:
            if error is not None:
                raise error
            self._phase = TlsPhase.OPEN
            peercert = self._sslobj.getpeercert()
        except Exception as exc:
            self._phase = TlsPhase.CLOSED
            self._fatal_error(exc, _handshake_message(exc))
            self._wake(exc)
            return
        finally:
            del error  # its traceback leads to this frame
        if self._loop.get_debug():
            taken = (self._loop.time() - self._handshake_started) * 1e3
            logger.debug("%r: SSL handshake took %.1f ms", self, taken)
        self._extra.update(
            peercert=peercert,
            cipher=self._sslobj.cipher(),
            compression=self._sslobj.compression(),
            ssl_object=self._sslobj,
        )
        self._choose_engine()
        if not self._connected and self._app_protocol is not None:
            self._connected = True
            self._app_protocol.connection_made(self._app_transport)
        self._wake(None)
        # Records may have come along with the last message of the handshake.
        self._read()

    def _choose_engine(self) -> None:
        doubt = self._go_direct() if self._loop._tls_engine == "direct" else "as the loop was told"
        if doubt is not None and self._loop.get_debug():
            logger.debug("%r stays with its SSLObject: %s", self, doubt)

    def _check_handshake_timeout(self) -> None:
        if self._phase == TlsPhase.HANDSHAKE:
            text = f"SSL handshake is taking longer than {self._handshake_timeout} seconds: aborting the connection"
            self._fatal_error(ConnectionAbortedError(text))

    # The end.

    def _start_shutdown(self) -> None:
        """Deliver what was received, send what was written, say goodbye."""
        if self._phase in (TlsPhase.IDLE, TlsPhase.HANDSHAKE):
            self._abort(None)
        elif self._phase == TlsPhase.OPEN:
            if self._app_transport is not None:
                self._app_transport._closed = True
            self._phase = TlsPhase.FLUSHING
            self._start_timer(self._shutdown_timeout, self._check_shutdown_timeout)
            self._flush_step()

    def _is_ending(self) -> bool:
        """Whether the end has begun, on either side."""
        return self._phase in _ENDING

    def _flush_step(self) -> None:
        self._read()
        # What the peer sent before it left may need another of the application's buffers.
        if self._phase == TlsPhase.FLUSHING and not (self._unread and self._eof_received):
            self._phase = TlsPhase.SHUTDOWN
            self._shutdown_step()

    def _shutdown_step(self) -> None:
        try:
            if not self._eof_received:
                self._sslobj.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLSyscallError):
            self._pump()
        except ssl.SSLError as exc:
            self._stop_timer()
            self._fatal_error(exc)
        else:
            self._pump()
            self._tell_eof()
            self._close_below()

    def _close_below(self) -> None:
        """Close the transport below; a peer that reads nothing can delay that for as long as the timeout lasts."""
        if self._transport is None:
            return
        if self._timer is None:
            self._start_timer(self._shutdown_timeout, self._check_shutdown_timeout)
        self._loop.call_soon(self._transport.close)

    def _check_shutdown_timeout(self) -> None:
        if self._phase in _ENDING and self._transport is not None:
            self._transport._force_close(TimeoutError("SSL shutdown timed out"))

    def _closed_by_peer(self) -> None:
        """A close_notify came in."""
        self._tell_eof()
        self._start_shutdown()

    def _tell_eof(self) -> None:
        if not self._connected or self._eof_told or self._app_protocol is None:
            return
        self._eof_told = True
        try:
            if self._app_protocol.eof_received():  # type: ignore[attr-defined]
                logger.warning("returning true from eof_received() has no effect when using ssl")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Error calling eof_received()")

    def _abort(self, exc: BaseException | None) -> None:
        self._phase = TlsPhase.CLOSED
        if self._transport is not None:
            self._transport._force_close(exc)

    def _fatal_error(self, exc: BaseException, message: str = "Fatal error on transport") -> None:
        """Lose the connection over `exc`; report it unless it is the network's."""
        transport = self._transport
        if transport is not None:
            transport._force_close(exc)
        if isinstance(exc, OSError):
            if self._loop.get_debug():
                logger.debug("%r: %s", self, message, exc_info=exc)
        elif not isinstance(exc, asyncio.CancelledError):
            context = {"message": message, "exception": exc, "transport": transport, "protocol": self}
            self._loop.call_exception_handler(context)

    # The transport above.

    def _resume_reading(self) -> None:
        if self._app_reading_paused:
            self._app_reading_paused = False
            self._call_soon(self._advance)

    @property
    def _sslcontext(self) -> ssl.SSLContext | None:
        """asyncio's private spelling, which aiohttp's tests read."""
        return self._extra.get("sslcontext")

    def _forget(self) -> None:
        """Let go of the context: who closes twice has no more questions.

        Applications that keep their transport would otherwise keep it alive, and with it all of its certificates.
        """
        self._extra.clear()

    def _get_extra_info(self, name: str, default: Any = None) -> Any:
        if name in self._extra:
            return self._extra[name]
        if self._transport is not None:
            return self._transport.get_extra_info(name, default)
        return default

    # Helpers.

    def _call_soon(self, step: Callable[..., object], *args: object) -> None:
        """In the context of the transport below, as all that it calls."""
        self._loop.call_soon(step, *args, context=getattr(self._transport, "_context", None))

    def _wake(self, exc: BaseException | None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if exc is not None:
            waiter.set_exception(exc)
        else:
            waiter.set_result(None)

    def _start_timer(self, seconds: float, check: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, check)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def _timeout(name: str, given: float | None, default: float) -> float:
    if given is None:
        return default
    if given <= 0:
        raise ValueError(f"{name} should be a positive number, got {given}")
    return given


def _context(
    given: ssl.SSLContext | bool | None, server_side: bool, server_hostname: str | bytes | None
) -> ssl.SSLContext:
    """The user's context, or for `ssl=True` on a client one with the default settings."""
    if isinstance(given, ssl.SSLContext):
        return given
    if given and not isinstance(given, bool):
        return given  # anything with `wrap_bio`
    if server_side:
        raise ValueError("Server side SSL needs a valid SSLContext")
    context = ssl.create_default_context()
    if not server_hostname:
        context.check_hostname = False
    return context


def _handshake_message(exc: Exception) -> str:
    if isinstance(exc, ssl.CertificateError):
        return "SSL handshake failed on verifying the certificate"
    return "SSL handshake failed"
