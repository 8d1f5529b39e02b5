"""Name resolution: `socket.getaddrinfo` in threads of its own, and IP literals without any.

The threads are the loop's own and not the default executor's: lookups must not wait behind whatever the application
runs there, nor its calls behind a name server that does not answer.
"""

from __future__ import annotations

import socket
from asyncio.log import logger

from . import _ferroloop
from ._executor import own_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from typing import Any, TypeAlias

    from ._loop import EventLoop

    AddressInfo: TypeAlias = tuple[int, int, int, str, tuple[Any, ...]]


async def getaddrinfo(
    loop: EventLoop,
    host: str | bytes | None,
    port: str | bytes | int | None,
    *,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[Any]:
    """Look a name up as `socket.getaddrinfo` does, in a thread. Raises what that raises (`socket.gaierror`)."""
    if loop.get_debug():
        return await loop.run_in_executor(_threads(loop), _timed_lookup, loop, host, port, family, type, proto, flags)
    return await loop.run_in_executor(_threads(loop), socket.getaddrinfo, host, port, family, type, proto, flags)


async def getnameinfo(loop: EventLoop, sockaddr: tuple[Any, ...], flags: int = 0) -> tuple[str, str]:
    """Look an address up as `socket.getnameinfo` does, in a thread. Raises what that raises."""
    return await loop.run_in_executor(_threads(loop), socket.getnameinfo, sockaddr, flags)


def _threads(loop: EventLoop) -> ThreadPoolExecutor:
    return own_threads(loop, "ferroloop-resolver")


def _timed_lookup(
    loop: EventLoop,
    host: str | bytes | None,
    port: str | bytes | int | None,
    family: int,
    type: int,
    proto: int,
    flags: int,
) -> list[Any]:
    """In debug mode: look up, and log how long it took; at level INFO if it was slow."""
    parts = [f"{host}:{port!r}"]  # type: ignore[str-bytes-safe]  # as asyncio logs it
    given = {"family": family, "type": type, "proto": proto, "flags": flags}
    parts += [f"{name}={value!r}" for name, value in given.items() if value]
    what = ", ".join(parts)
    logger.debug("Get address info %s", what)
    start = loop.time()
    infos = socket.getaddrinfo(host, port, family, type, proto, flags)
    seconds = loop.time() - start
    log = logger.info if seconds >= loop.slow_callback_duration else logger.debug
    log("Getting address info %s took %.3fms: %r", what, seconds * 1e3, infos)
    return infos


async def _ensure_resolved(
    loop: EventLoop,
    address: tuple[Any, ...],
    *,
    family: int = 0,
    type: int = socket.SOCK_STREAM,
    proto: int = 0,
    flags: int = 0,
) -> list[AddressInfo]:
    """Address infos of `(host, port)` or `(host, port, flowinfo, scope_id)`; an IP literal needs no lookup."""
    host, port = address[:2]
    literal = _ferroloop.literal_address(host, port, family, type, proto, *address[2:])
    if literal is None:
        return await loop.getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)
    # A lookup would have given enum members, which log messages show.
    return [(socket.AddressFamily(literal[0]), type, *literal[2:])]
