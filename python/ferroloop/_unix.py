"""Unix sockets: connecting, serving, and the files they leave in the file system (unix(7))."""

from __future__ import annotations

import errno
import os
import socket
import sys
from asyncio.log import logger

from ._bind import is_abstract, remove_stale_file
from ._checks import check_no_bool, check_not_ssl_socket, check_server_name, tls_options
from ._compat import of_this_python
from ._server import open_server
from ._transports import connect_transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from ssl import SSLContext
    from typing import TypeAlias, TypeVar

    from ._loop import EventLoop
    from ._server import Server

    _ProtocolT = TypeVar("_ProtocolT", bound=asyncio.BaseProtocol)
    _Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


async def create_unix_connection(
    loop: EventLoop,
    protocol_factory: Callable[[], _ProtocolT],
    path: _Path | None = None,
    *,
    ssl: SSLContext | bool | None = None,
    sock: socket.socket | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> tuple[asyncio.Transport, _ProtocolT]:
    """Connect to a Unix stream socket, or take over `sock`; return (transport, protocol).

    A `path` that begins with a NUL is a name in Linux's abstract namespace. While the server's backlog is full the
    call goes on trying.

    `ssl` is the context for TLS; its timeouts are in seconds, by default 60 for the handshake and 30 for the end.
    `server_hostname` has to be given then: the name that the server's certificate has to have.

    Raises ValueError and TypeError for arguments that do not fit together, OSError (FileNotFoundError,
    ConnectionRefusedError, PermissionError...) if the connection fails, `ssl.SSLError` if the handshake does.
    Arguments that do not fit together leave the socket open; after that it is closed unless the call succeeds.
    """
    assert server_hostname is None or isinstance(server_hostname, str)
    check_server_name(ssl, server_hostname, None, "you have to pass server_hostname when using ssl")
    tls = tls_options(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, server_hostname=server_hostname)
    target = _target(path, sock, "no path and sock were specified")
    if isinstance(target, str | bytes):
        target = await _connect(loop, target)
    return await connect_transport(loop, target, protocol_factory, tls)


@of_this_python
async def create_unix_server(
    loop: EventLoop,
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    path: _Path | None = None,
    *,
    sock: socket.socket | None = None,
    backlog: int = 100,
    ssl: SSLContext | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    start_serving: bool = True,
    cleanup_socket: bool = sys.version_info >= (3, 13),
) -> Server:
    """Listen on a Unix stream socket bound to `path`, or on `sock`; return a Server.

    A socket file already at `path` is replaced, whether somebody listens on it or not. With `cleanup_socket` closing
    the server removes its file, unless another one has taken the place. `backlog` is that of listen(2).
    With `start_serving` false nothing is accepted before the server is told to.

    `ssl` is the context for TLS; its timeouts are in seconds, by default 60 for the handshake and 30 for the end.

    Raises ValueError and TypeError for arguments that do not fit together, OSError if `path` cannot be bound.
    Arguments that do not fit together leave `sock` open; after that a failed call leaves no socket behind.
    """
    check_no_bool(ssl)
    tls = tls_options(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, server_side=True)
    target = _target(path, sock, "path was not specified, and no sock specified")
    if isinstance(target, str | bytes):
        target = _bound(target)
    socket_file = SocketFile.of(target) if cleanup_socket else None
    return await open_server(loop, [target], protocol_factory, backlog, start_serving, socket_file, tls)


def _target(path: _Path | None, sock: socket.socket | None, neither: str) -> socket.socket | str | bytes:
    """The one of the two that was given; ValueError with the text `neither` if none was."""
    if path is not None:
        if sock is not None:
            raise ValueError("path and sock can not be specified at the same time")
        return os.fspath(path)
    if sock is None:
        raise ValueError(neither)
    check_not_ssl_socket(sock)
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")
    return sock


async def _connect(loop: EventLoop, path: str | bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, path)
    except BaseException:
        sock.close()
        raise
    return sock


def _bound(path: str | bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        remove_stale_file(path)
        sock.bind(path)
    except BaseException as exc:
        sock.close()
        if isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE:
            raise OSError(errno.EADDRINUSE, f"Address {path!r} is already in use") from None
        raise
    return sock


class SocketFile:
    """The file of a listening socket, to be removed with the socket."""

    def __init__(self, path: str, status: os.stat_result) -> None:
        self._path = path
        self._status = status

    @classmethod
    def of(cls, sock: socket.socket) -> SocketFile | None:
        """The file behind a socket; None for an abstract name, or if it cannot be found any more."""
        path = sock.getsockname()
        if not path or is_abstract(path):
            return None
        try:
            return cls(path, os.stat(path))
        except OSError:
            return None

    def remove(self) -> None:
        """Remove the file, unless another one has taken its place."""
        try:
            if os.path.samestat(os.stat(self._path), self._status):
                os.unlink(self._path)
        except FileNotFoundError:
            pass
        except OSError as exc:
            logger.error("Unable to clean up listening UNIX socket %r: %r", self._path, exc)
