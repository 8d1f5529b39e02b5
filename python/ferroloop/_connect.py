"""Connections as a client: `create_connection`, and sockets somebody else accepted (asyncio: Opening connections)."""

from __future__ import annotations

import contextlib
import functools
import socket
from asyncio.log import logger

from ._bind import bind_error
from ._checks import check_not_ssl_socket, check_server_name, check_source, check_stream_socket, tls_options
from ._compat import of_this_python
from ._eyeballs import interleave_addrinfos, race
from ._resolve import find_addresses
from ._transports import connect_transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import BaseProtocol, Transport
    from collections.abc import Callable, Sequence
    from ssl import SSLContext
    from typing import Any, TypeVar

    from ._loop import EventLoop
    from ._resolve import AddressInfo

    _ProtocolT = TypeVar("_ProtocolT", bound=BaseProtocol)


@of_this_python
async def create_connection(
    loop: EventLoop,
    protocol_factory: Callable[[], _ProtocolT],
    host: str | bytes | None = None,
    port: str | bytes | int | None = None,
    *,
    ssl: SSLContext | bool | None = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    sock: socket.socket | None = None,
    local_addr: tuple[str, int] | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
    all_errors: bool = False,
) -> tuple[Transport, _ProtocolT]:
    """Connect to a TCP server, or take over `sock`; return (transport, protocol).

    `host` and `port` are resolved with `family`, `proto` and `flags`, the candidates are tried in turn, each bound to
    `local_addr` first. `happy_eyeballs_delay` (seconds; RFC 8305) lets the next attempt start before the latest has
    failed; `interleave` mixes the address families. `all_errors` raises an ExceptionGroup of every failure.

    `ssl` is the context for TLS; its timeouts are in seconds, by default 60 for the handshake and 30 for the end.
    True is a context with the default settings. `server_hostname`, by default `host`, is the name that the server's
    certificate has to have; an empty one is for contexts that check none.

    Raises ValueError and TypeError for arguments that do not fit together, OSError if no candidate can be connected,
    `ssl.SSLError` if the handshake fails. Arguments that do not fit together leave the socket open; after that it is
    closed unless the call succeeds.
    """
    check_server_name(ssl, server_hostname, host, "You must set server_hostname when using ssl without a host")
    name = (host or "") if server_hostname is None else server_hostname
    tls = tls_options(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, server_hostname=name)
    by_name = host is not None or port is not None
    check_source(by_name, sock, "host and port was not specified and no sock specified")
    if sock is None:
        hints = {"family": family, "type": socket.SOCK_STREAM, "proto": proto, "flags": flags}
        infos = await find_addresses(loop, (host, port), **hints)
        local_infos = None if local_addr is None else await find_addresses(loop, local_addr, **hints)
        if interleave is None and happy_eyeballs_delay is not None:
            interleave = 1
        if interleave:
            infos = interleave_addrinfos(infos, interleave)
        sock = await _connect_any(loop, infos, local_infos, happy_eyeballs_delay, all_errors)
    transport, protocol = await connect_transport(loop, sock, protocol_factory, tls)
    if loop.get_debug():
        view = transport.get_extra_info("socket")
        logger.debug("%r connected to %s:%r: (%r, %r)", view, host, port, transport, protocol)
    return transport, protocol


async def connect_accepted_socket(
    loop: EventLoop,
    protocol_factory: Callable[[], _ProtocolT],
    sock: socket.socket,
    *,
    ssl: SSLContext | bool | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> tuple[Transport, _ProtocolT]:
    """Take over a connection accepted outside of asyncio; return (transport, protocol).

    `ssl` is the context for TLS; its timeouts are in seconds, by default 60 for the handshake and 30 for the end.

    Raises ValueError and TypeError for a socket that is not a plain stream socket and for arguments that do not fit
    together, `ssl.SSLError` if the handshake fails. The former leave the socket open; after that it is closed unless
    the call succeeds.
    """
    check_stream_socket(sock)
    tls = tls_options(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, server_side=True)
    check_not_ssl_socket(sock)
    transport, protocol = await connect_transport(loop, sock, protocol_factory, tls)
    if loop.get_debug():
        logger.debug("%r handled: (%r, %r)", transport.get_extra_info("socket"), transport, protocol)
    return transport, protocol


async def _connect_any(
    loop: EventLoop,
    infos: Sequence[AddressInfo],
    local_infos: Sequence[AddressInfo] | None,
    delay: float | None,
    all_errors: bool,
) -> socket.socket:
    """A socket connected to one of `infos`: tried one after the other, or raced if there is a `delay`."""
    failures: list[list[OSError]] = [[] for _ in infos]
    attempts = [
        functools.partial(_connect_one, loop, info, local_infos, errors)
        for info, errors in zip(infos, failures, strict=True)
    ]
    try:
        if delay is None:
            sock = await _first_in_turn(attempts)
        else:
            sock = await race(loop, attempts, delay, socket.socket.close)
        if sock is None:
            raise _combined([error for errors in failures for error in errors], all_errors)
        return sock
    finally:
        # Each error leads from its traceback to the frames of its attempt and to this one, so none may lead back.
        for errors in failures:
            errors.clear()


async def _first_in_turn(attempts: Sequence[Callable[[], Any]]) -> socket.socket | None:
    for attempt in attempts:
        with contextlib.suppress(OSError):
            connected: socket.socket = await attempt()
            return connected
    return None


def _combined(errors: list[OSError], all_errors: bool) -> Exception:
    """What to raise when every attempt failed."""
    if not errors:
        return TimeoutError("create_connection failed")
    if all_errors:
        return ExceptionGroup("create_connection failed", errors)
    texts = [str(error) for error in errors]
    if len(set(texts)) == 1:
        return errors[0]
    return OSError(f"Multiple exceptions: {', '.join(texts)}")


async def _connect_one(
    loop: EventLoop, info: AddressInfo, local_infos: Sequence[AddressInfo] | None, errors: list[OSError]
) -> socket.socket:
    """A new socket connected to `info`. What goes wrong on the way is added to `errors`, also if it succeeds later."""
    family, type_, proto, _, address = info
    sock = None
    try:
        sock = socket.socket(family=family, type=type_, proto=proto)
        sock.setblocking(False)
        if local_infos is not None:
            _bind_local(sock, local_infos, errors)
        await loop.sock_connect(sock, address)
    except BaseException as exc:
        if isinstance(exc, OSError):
            errors.append(exc)
        if sock is not None:
            with contextlib.suppress(OSError):  # it must not hide what really failed
                sock.close()
        raise
    return sock


def _bind_local(sock: socket.socket, infos: Sequence[AddressInfo], errors: list[OSError]) -> None:
    """Bind `sock` to the first address that works; failures before it are added to `errors`, the last one is raised."""
    addresses = [info[4] for info in infos if info[0] == sock.family]
    if not addresses:
        raise OSError(f"no matching local address with family={sock.family!r} found")
    *others, last = addresses
    for address in others:
        try:
            sock.bind(address)
            return
        except OSError as exc:
            errors.append(bind_error(address, exc))
    try:
        sock.bind(last)
    except OSError as exc:
        raise bind_error(last, exc) from None
