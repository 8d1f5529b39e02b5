"""The transport that an application sees over TLS (asyncio.Transport)."""

from __future__ import annotations

import asyncio
import sys
import warnings
from asyncio.constants import _SendfileMode

from ._checks import refuse_copy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._tls import TlsProtocol


_LOOKS_BELOW = sys.version_info >= (3, 14)


class SSLTransport(asyncio.Transport):
    """`write` and `writelines` are native; the rest asks the TLS protocol."""

    _start_tls_compatible = True
    _sendfile_compatible = _SendfileMode.FALLBACK

    def __init__(self, protocol: TlsProtocol) -> None:
        self._ssl_protocol = protocol
        self._closed = False
        # The methods of every packet, without a frame of Python between the application and the native layer.
        self.write = protocol._write  # type: ignore[method-assign]
        self.writelines = protocol._writelines  # type: ignore[method-assign]

    __reduce__ = refuse_copy

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if not self._closed:
            self._closed = True
            _warn("unclosed transport <asyncio._SSLProtocolTransport object>", ResourceWarning, source=self)

    @property
    def _loop(self) -> Any:
        return self._ssl_protocol._loop

    @property
    def _context(self) -> Any:
        return getattr(self._ssl_protocol._transport, "_context", None)

    @property
    def _protocol_paused(self) -> bool:
        return self._ssl_protocol._writing_paused

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection: 'sslcontext', after the handshake 'peercert', 'cipher',
        'compression' and 'ssl_object', and what the transport below knows.
        """
        return self._ssl_protocol._get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol."""
        self._ssl_protocol._app_protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol | None:  # type: ignore[override]  # as all of ours, once it is lost
        """Return the protocol; None after `connection_lost`."""
        return self._ssl_protocol._app_protocol

    def is_closing(self) -> bool:
        """Whether closing has begun; from Python 3.14 on, here or below."""
        below = self._ssl_protocol._transport
        return self._closed or (_LOOKS_BELOW and below is not None and below.is_closing())

    @property
    def _drops_writes(self) -> bool:
        """Whether what is written now goes nowhere, as after the end of the peer's stream while reading is paused."""
        return self._closed or self._ssl_protocol._is_ending()

    def close(self) -> None:
        """Send what was written and a close_notify, then close; the protocol hears of it later.

        In the loop's thread, whichever this is: OpenSSL's objects are not for two at once, and a StreamWriter that is
        collected calls this in any.
        """
        if self._closed:
            self._ssl_protocol._forget()
        elif not self._loop._hand_over(self.close):
            self._closed = True
            self._ssl_protocol._start_shutdown()

    def abort(self) -> None:
        """Close at once; what was written and not sent is lost."""
        self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        self._closed = True
        self._ssl_protocol._abort(exc)

    def is_reading(self) -> bool:
        """Whether data is asked for."""
        return not self._ssl_protocol._app_reading_paused

    def pause_reading(self) -> None:
        """Stop `data_received`; again does nothing."""
        self._ssl_protocol._app_reading_paused = True

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        self._ssl_protocol._resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the sizes in bytes at which the protocol is paused and resumed. Raises ValueError if high < low."""
        self._ssl_protocol._set_write_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return (low, high) in bytes."""
        return self._ssl_protocol._get_write_limits()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes have not reached the transport below."""
        return self._ssl_protocol._write_buffer_size()

    def set_read_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the sizes in bytes at which the transport below is paused and resumed."""
        self._ssl_protocol._set_read_limits(high, low)

    def get_read_buffer_limits(self) -> tuple[int, int]:
        """Return (low, high) in bytes."""
        return self._ssl_protocol._get_read_limits()

    def get_read_buffer_size(self) -> int:
        """Return how many bytes of records wait for the application to resume reading."""
        return self._ssl_protocol._read_buffer_size()

    def write_eof(self) -> None:
        """Raise NotImplementedError: asyncio's TLS has no half-closed connections."""
        raise NotImplementedError

    def can_write_eof(self) -> bool:
        """Return False."""
        return False
