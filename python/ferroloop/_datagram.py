"""Datagram endpoints: sockets that send and receive whole messages (asyncio: Opening network connections; udp(7))."""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.log import logger

from ._bind import remove_stale_file, set_reuse_port
from ._ferroloop import DatagramTransport
from ._resolve import find_addresses
from ._transports import finish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias, TypeVar

    from ._loop import EventLoop

    _ProtocolT = TypeVar("_ProtocolT", bound=asyncio.BaseProtocol)
    # An address of the socket module: (host, port), longer for IPv6, a path for Unix sockets.
    _Address: TypeAlias = Any
    # Family and protocol of a socket, and the local and remote address it may have.
    _Candidate: TypeAlias = tuple[int, int, _Address | None, _Address | None]


class AnyTransport(asyncio.Transport, asyncio.DatagramTransport):
    """What `isinstance` takes a datagram transport for: as in asyncio, for both kinds."""

    # `dir` looks for an object's methods in here, too.
    receive_messages = DatagramTransport.receive_messages
    sendmsg = DatagramTransport.sendmsg


async def create_datagram_endpoint(
    loop: EventLoop,
    protocol_factory: Callable[[], _ProtocolT],
    local_addr: tuple[str, int] | str | None = None,
    remote_addr: tuple[str, int] | str | None = None,
    *,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    reuse_port: bool | None = None,
    allow_broadcast: bool | None = None,
    sock: socket.socket | None = None,
) -> tuple[DatagramTransport, _ProtocolT]:
    """Make a socket for datagrams, or take over `sock`; return (transport, protocol).

    The socket is bound to `local_addr` and connected to `remote_addr`, each (host, port) to be resolved with `family`,
    `proto` and `flags`, or for AF_UNIX a path; a socket file already at the local path is replaced. Candidates are
    tried in turn. With `allow_broadcast` the remote address is not connected to, only sent to. `reuse_port` lets
    others bind to the same port.

    Raises ValueError and TypeError for arguments that do not fit together, OSError (the first one) if no candidate
    works. A socket made here is closed unless the call succeeds.
    """
    if sock is not None:
        options = {
            "local_addr": local_addr,
            "remote_addr": remote_addr,
            "family": family,
            "proto": proto,
            "flags": flags,
            "reuse_port": reuse_port,
            "allow_broadcast": allow_broadcast,
        }
        _check_socket(sock, options)
        sock.setblocking(False)
        transport, protocol, waiter = _start(loop, protocol_factory, sock, None)
    else:
        candidates = await _candidates(loop, local_addr, remote_addr, family, proto, flags)
        opened, peer = await _open_first(loop, candidates, reuse_port, allow_broadcast)
        try:
            transport, protocol, waiter = _start(loop, protocol_factory, opened, peer)
        except BaseException:
            opened.close()
            raise
    if loop.get_debug():
        _log(local_addr, remote_addr, transport, protocol)
    await finish(transport, waiter)
    return transport, protocol


def _check_socket(sock: socket.socket, options: dict[str, Any]) -> None:
    """Raise ValueError for a socket of the wrong type, or options for the making of one."""
    if sys.version_info >= (3, 13):
        if sock.type == socket.SOCK_STREAM:
            raise ValueError(f"A datagram socket was expected, got {sock!r}")
    elif sock.type != socket.SOCK_DGRAM:
        raise ValueError(f"A UDP Socket was expected, got {sock!r}")
    if any(options.values()):
        problems = ", ".join(f"{name}={value}" for name, value in options.items() if value)
        raise ValueError(f"socket modifier keyword arguments can not be used when sock is specified. ({problems})")


async def _candidates(
    loop: EventLoop, local_addr: Any, remote_addr: Any, family: int, proto: int, flags: int
) -> list[_Candidate]:
    """The sockets that would do, best first."""
    if not (local_addr or remote_addr):
        if family == 0:
            raise ValueError("unexpected address family")
        return [(family, proto, None, None)]
    if family == socket.AF_UNIX:
        for path in (local_addr, remote_addr):
            if path is not None and not isinstance(path, str):
                raise TypeError("string is expected")
        if local_addr:
            remove_stale_file(local_addr)
        return [(family, proto, local_addr or None, remote_addr or None)]
    return await _resolved(loop, local_addr, remote_addr, family, proto, flags)


async def _resolved(
    loop: EventLoop, local_addr: Any, remote_addr: Any, family: int, proto: int, flags: int
) -> list[_Candidate]:
    """Every (family, protocol) in which each address asked for has been found, in the order of the lookups."""
    found: dict[tuple[int, int], list[_Address | None]] = {}
    for side, addr in enumerate((local_addr, remote_addr)):
        if addr is None:
            continue
        if not (isinstance(addr, tuple) and len(addr) == 2):
            raise TypeError("2-tuple is expected")
        infos = await find_addresses(loop, addr, family=family, type=socket.SOCK_DGRAM, proto=proto, flags=flags)
        for info in infos:
            found.setdefault((info[0], info[2]), [None, None])[side] = info[4]
    candidates = [
        (*key, local, remote)
        for key, (local, remote) in found.items()
        if not (local_addr and local is None) and not (remote_addr and remote is None)
    ]
    if not candidates:
        raise ValueError("can not get address information")
    return candidates


async def _open_first(
    loop: EventLoop, candidates: list[_Candidate], reuse_port: bool | None, allow_broadcast: bool | None
) -> tuple[socket.socket, _Address | None]:
    """The first socket that can be opened, and its peer; the first error if none can."""
    errors: list[OSError] = []
    for family, proto, local, remote in candidates:
        try:
            return await _open(loop, family, proto, local, remote, reuse_port, allow_broadcast), remote
        except OSError as exc:
            errors.append(exc)
    try:
        raise errors[0]
    finally:
        errors.clear()  # else the errors and this frame would keep each other


async def _open(
    loop: EventLoop,
    family: int,
    proto: int,
    local: _Address | None,
    remote: _Address | None,
    reuse_port: bool | None,
    allow_broadcast: bool | None,
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM, proto)
    try:
        if reuse_port:
            set_reuse_port(sock)
        if allow_broadcast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setblocking(False)
        if local is not None:
            sock.bind(local)
        if remote is not None and not allow_broadcast:
            await loop.sock_connect(sock, remote)
    except BaseException:
        sock.close()
        raise
    return sock


def _start(
    loop: EventLoop, protocol_factory: Callable[[], _ProtocolT], sock: socket.socket, peer: _Address | None
) -> tuple[DatagramTransport, _ProtocolT, asyncio.Future[None]]:
    protocol = protocol_factory()
    waiter: asyncio.Future[None] = loop.create_future()
    return loop._make_datagram_transport(sock, protocol, peer, waiter), protocol, waiter


def _log(local_addr: Any, remote_addr: Any, transport: DatagramTransport, protocol: asyncio.BaseProtocol) -> None:
    if local_addr:
        text = "Datagram endpoint local_addr=%r remote_addr=%r created: (%r, %r)"
        logger.info(text, local_addr, remote_addr, transport, protocol)
    else:
        logger.debug("Datagram endpoint remote_addr=%r created: (%r, %r)", remote_addr, transport, protocol)


def _make_datagram_transport(
    loop: EventLoop,
    sock: socket.socket,
    protocol: asyncio.BaseProtocol,
    address: _Address | None = None,
    waiter: asyncio.Future[None] | None = None,
    extra: dict[str, Any] | None = None,
) -> DatagramTransport:
    """Give the non-blocking `sock` to a transport (a name of asyncio's that others know)."""
    return DatagramTransport(loop, sock, protocol, address, waiter, extra)
