"""Refusals that several recipes share, in asyncio's words."""

from __future__ import annotations

import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ssl import SSLContext
    from typing import Any, NoReturn

    from ._start_tls import TlsOptions

try:
    from ssl import SSLSocket
except ImportError:  # a Python built without OpenSSL
    SSLSocket = None  # type: ignore[assignment, misc]


def check_not_ssl_socket(sock: socket.socket) -> None:
    """Raise TypeError for an SSLSocket: its reads and writes are not those of its descriptor."""
    if SSLSocket is not None and isinstance(sock, SSLSocket):
        raise TypeError("Socket cannot be of type SSLSocket")


def check_stream_socket(sock: socket.socket) -> None:
    """Raise ValueError if `sock` is not of type SOCK_STREAM."""
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A Stream Socket was expected, got {sock!r}")


def check_source(by_name: bool, sock: socket.socket | None, neither: str) -> None:
    """Raise ValueError, or TypeError for an SSLSocket, unless there is a name or a plain stream socket, and not both.

    `neither` is the text if there is none.
    """
    if sock is not None:
        check_not_ssl_socket(sock)
        if by_name:
            raise ValueError("host/port and sock can not be specified at the same time")
        check_stream_socket(sock)
    elif not by_name:
        raise ValueError(neither)


def check_non_blocking(sock: socket.socket) -> None:
    """Raise ValueError for a socket that would block the loop."""
    if sock.gettimeout() != 0:
        raise ValueError("the socket must be non-blocking")


def tls_options(
    ssl: SSLContext | bool | None,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
    *,
    server_side: bool = False,
    server_hostname: str | bytes | None = None,
) -> TlsOptions | None:
    """Return what a recipe's TLS keywords ask for, None without `ssl`.

    Raises ValueError for a timeout without `ssl`, RuntimeError for `ssl` on a Python built without OpenSSL.
    """
    if ssl:
        from ._start_tls import TlsOptions  # by those alone who ask for TLS

        return TlsOptions(ssl, server_side, server_hostname, handshake_timeout, shutdown_timeout)
    if handshake_timeout is not None:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if shutdown_timeout is not None:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")
    return None


def check_server_name(ssl: SSLContext | bool | None, server_hostname: str | None, host: Any, missing: str) -> None:
    """Raise ValueError for a server name without TLS, or TLS without a name to verify, with the text `missing`.

    An empty `server_hostname` is a name: it asks for no verification.
    """
    if server_hostname is not None and not ssl:
        raise ValueError("server_hostname is only meaningful with ssl")
    if ssl and server_hostname is None and not host:
        raise ValueError(missing)


def check_no_bool(ssl: object) -> None:
    """Raise TypeError for True and False: a server has no default context, which would need a certificate."""
    if isinstance(ssl, bool):
        raise TypeError("ssl argument must be an SSLContext or None")


def refuse_copy(instance: object) -> NoReturn:
    """Raise TypeError: for `__reduce__` of what owns descriptors or a process, which its copy would own too."""
    raise TypeError(f"cannot pickle {type(instance).__name__!r} object")
