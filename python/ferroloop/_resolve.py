"""Name resolution: `getaddrinfo` in native threads, and IP literals without any.

The threads are the loop's own and not the default executor's: lookups must not wait behind whatever the application
runs there, nor its calls behind a name server that does not answer. Nor does anybody wait for such a lookup at the end
of the loop or of the process.

Python's threads, which are waited for, are left for what only `socket.getaddrinfo` can answer: arguments that it
refuses or whose type is the program's own, and programs that have put a function in its place, or in that of
`run_in_executor`.
"""

from __future__ import annotations

import _socket
import socket
import sys
from asyncio.log import logger
from types import BuiltinFunctionType

from . import _ferroloop
from ._executor import own_threads, run_in_executor

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from typing import Any, TypeAlias

    from ._loop import EventLoop

    AddressInfo: TypeAlias = tuple[int, int, int, str, tuple[Any, ...]]

# With these alone, what is said of an IP literal depends on nothing but the arguments (getaddrinfo(3)).
_FLAGS_OF_LITERALS = socket.AI_PASSIVE | socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

# What `socket.getaddrinfo` has said of IP literals, by its arguments.
_answers: dict[tuple[Any, ...], list[Any]] = {}
_MOST_ANSWERS = 1024


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
    """Look a name up as `socket.getaddrinfo` does, in a thread. Raises what that raises (`socket.gaierror`).

    An IP literal needs no thread: nothing is waited for.
    """
    loop._check_closed()
    if loop.get_debug():
        return await _timed_lookup(loop, host, port, family, type, proto, flags)
    # Not in a coroutine with what follows: for a literal that would be a sixth of the time.
    infos = _of_literal(host, port, family, type, proto, flags)
    return await _look_up(loop, host, port, family, type, proto, flags) if infos is None else infos


async def _look_up(loop: EventLoop, *arguments: Any) -> list[Any]:
    """Have a thread look up what is no literal."""
    if _is_genuine() and getattr(loop.run_in_executor, "__func__", None) is run_in_executor:
        answer: asyncio.Future[list[Any]] = loop.create_future()
        lookup = loop._look_up(answer, *arguments)
        if lookup is not None:
            try:
                return await answer
            except BaseException:
                # Cancelled: it must not keep others waiting for a thread.
                loop._forget_lookup(lookup)
                raise
    return await loop.run_in_executor(_threads(loop), socket.getaddrinfo, *arguments)


def _is_genuine() -> bool:
    """Whether nobody has put a function in the place of `socket.getaddrinfo`, nor of the one it calls itself."""
    ours = getattr(socket.getaddrinfo, "__globals__", None) is socket.__dict__
    return ours and _socket.getaddrinfo.__class__ is BuiltinFunctionType


def _of_literal(
    host: str | bytes | None, port: str | bytes | int | None, family: int, type: int, proto: int, flags: int
) -> list[Any] | None:
    """What `socket.getaddrinfo` says of an IP literal and the number of a port; None where a thread has to ask it.

    A function in its place is always asked, in a thread. Audit hooks hear of answers from memory too.
    """
    if not _is_genuine():
        return None
    # By the numbers' classes too: 80.0 equals 80 and is an error.
    classes = port.__class__, family.__class__, type.__class__, proto.__class__, flags.__class__
    arguments = host, port, family, type, proto, flags, classes
    try:
        infos = _answers.get(arguments)
        if infos is None and not _is_literal(host, port, family, type, proto, flags):
            return None
    except Exception:  # bad arguments: the lookup says what is wrong with them
        return None
    if infos is not None:
        sys.audit("socket.getaddrinfo", host, port, family, type, proto)
        return infos.copy()
    infos = socket.getaddrinfo(host, port, family, type, proto, flags)
    if len(_answers) >= _MOST_ANSWERS:
        _answers.clear()
    _answers[arguments] = infos
    return infos.copy()


def _is_literal(
    host: str | bytes | None, port: str | bytes | int | None, family: int, type: int, proto: int, flags: int
) -> bool:
    # A port in a string may have to be looked up among the services, whatever it looks like.
    if flags & ~_FLAGS_OF_LITERALS or not (port is None or isinstance(port, int)):
        return False
    kind = type or socket.SOCK_STREAM
    return _ferroloop.literal_address(host, port, family, kind, proto) is not None


async def getnameinfo(loop: EventLoop, sockaddr: tuple[Any, ...], flags: int = 0) -> tuple[str, str]:
    """Look an address up as `socket.getnameinfo` does, in a thread. Raises what that raises."""
    return await loop.run_in_executor(_threads(loop), socket.getnameinfo, sockaddr, flags)


def _threads(loop: EventLoop) -> ThreadPoolExecutor:
    return own_threads(loop, "ferroloop-resolver")


async def _timed_lookup(
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
    infos = _of_literal(host, port, family, type, proto, flags)
    if infos is None:
        infos = await _look_up(loop, host, port, family, type, proto, flags)
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


async def find_addresses(loop: EventLoop, address: tuple[Any, ...], **hints: int) -> list[AddressInfo]:
    """As `loop._ensure_resolved`, which subclasses may have replaced; OSError if nothing is found."""
    infos = await loop._ensure_resolved(address, **hints)
    if not infos:
        raise OSError("getaddrinfo() returned empty list")
    return infos
