"""Serving TCP: from hosts and options to listening sockets (asyncio: Creating network servers)."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
import sys
from asyncio.log import logger
from collections.abc import Iterable

from ._bind import bind_error, set_reuse_port
from ._checks import check_no_bool, check_source, tls_options
from ._compat import of_this_python
from ._server import open_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext
    from typing import Any

    from ._loop import EventLoop
    from ._resolve import AddressInfo
    from ._server import Server


@of_this_python
async def create_server(
    loop: EventLoop,
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    host: str | Iterable[str] | None = None,
    port: int | str | None = None,
    *,
    family: int = socket.AF_UNSPEC,
    flags: int = socket.AI_PASSIVE,
    sock: socket.socket | None = None,
    backlog: int = 100,
    ssl: SSLContext | None = None,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    keep_alive: bool | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    start_serving: bool = True,
) -> Server:
    """Listen on TCP addresses, or on `sock`; return a Server.

    `host` is one host or several; None and the empty string mean all interfaces. `port` is a number or a service's
    name; with None or 0 each address gets a free port of its own. `family` and `flags` are those of getaddrinfo(3).
    Each address is bound once.
    `backlog` is that of listen(2), `reuse_address` (default: true), `reuse_port` and `keep_alive` set the socket
    options of those names. With `start_serving` false nothing is accepted before the server is told to.

    `ssl` is the context for TLS; its timeouts are in seconds, by default 60 for the handshake and 30 for the end.

    Raises ValueError and TypeError for arguments that do not fit together, OSError if an address cannot be resolved or
    bound. Arguments that do not fit together leave `sock` open; after that a failed call leaves no socket behind.
    """
    check_no_bool(ssl)
    tls = tls_options(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, server_side=True)
    by_name = host is not None or port is not None
    check_source(by_name, sock, "Neither host/port nor sock were specified")
    if sock is not None:
        sockets = [sock]
    else:
        infos = await _resolve_all(loop, _hosts(host), port, family, flags)
        sockets = _bind_all(loop, infos, _Options(reuse_address, reuse_port, keep_alive))
    server = await open_server(loop, sockets, protocol_factory, backlog, start_serving, tls=tls)
    if loop.get_debug():
        logger.info("%r is serving", server)
    return server


def _hosts(host: str | Iterable[str] | None) -> list[str | None]:
    if host == "":
        return [None]
    if isinstance(host, str) or not isinstance(host, Iterable):
        return [host]
    return list(host)


async def _resolve_all(
    loop: EventLoop, hosts: Iterable[str | None], port: int | str | None, family: int, flags: int
) -> list[AddressInfo]:
    """The addresses of all hosts, each once, in the resolver's order."""
    found = await asyncio.gather(*(_resolve(loop, host, port, family, flags) for host in hosts))
    return list(dict.fromkeys(itertools.chain.from_iterable(found)))


async def _resolve(
    loop: EventLoop, host: str | None, port: int | str | None, family: int, flags: int
) -> list[AddressInfo]:
    infos = await loop._ensure_resolved((host, port), family=family, type=socket.SOCK_STREAM, flags=flags)
    if not infos:
        raise OSError(f"getaddrinfo({host!r}) returned empty list")
    return infos


class _Options:
    """What create_server's keywords ask of a listening socket."""

    def __init__(self, reuse_address: bool | None, reuse_port: bool | None, keep_alive: bool | None) -> None:
        self.reuse_address = reuse_address
        self.reuse_port = reuse_port
        self.keep_alive = keep_alive

    def apply(self, sock: socket.socket) -> None:
        reuse_address = self.reuse_address
        if reuse_address is None:
            reuse_address = os.name == "posix" and sys.platform != "cygwin"
        if reuse_address:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.reuse_port and sock.family in (socket.AF_INET, socket.AF_INET6):
            set_reuse_port(sock)
        if self.keep_alive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sock.family == socket.AF_INET6:
            # The wildcard address of IPv6 would otherwise take that of IPv4 with it.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _bind_all(loop: EventLoop, infos: Iterable[AddressInfo], options: _Options) -> list[socket.socket]:
    """A bound socket for every address the machine has; all are closed if one of them fails."""
    sockets: list[socket.socket] = []
    try:
        for family, type_, proto, _, address in infos:
            sock = _make_socket(loop, family, type_, proto)
            if sock is None:
                continue
            sockets.append(sock)
            options.apply(sock)
            if not _bind(loop, sock, address):
                sockets.pop().close()
        if not sockets and sys.version_info >= (3, 13):
            raise OSError(f"could not bind on any address out of {[info[4] for info in infos]!r}")
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _make_socket(loop: EventLoop, family: int, type_: int, proto: int) -> socket.socket | None:
    """A socket, None if this kernel does not know the family."""
    try:
        return socket.socket(family, type_, proto)
    except OSError:
        if loop.get_debug():
            logger.warning(
                "create_server() failed to create socket.socket(%r, %r, %r)", family, type_, proto, exc_info=True
            )
        return None


def _bind(loop: EventLoop, sock: socket.socket, address: Any) -> bool:
    """Bind, or return False for an address this machine does not have (asyncio skips those from 3.13 on)."""
    try:
        sock.bind(address)
    except OSError as exc:
        error = bind_error(address, exc)
        if exc.errno != errno.EADDRNOTAVAIL or sys.version_info < (3, 13):
            raise error from None
        if loop.get_debug():
            logger.warning(error.strerror)
        return False
    return True
