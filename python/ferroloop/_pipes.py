"""Pipes: transports over one end of a pipe, a FIFO, a socket or a terminal (asyncio: Working with pipes; pipe(7))."""

from __future__ import annotations

from asyncio.log import logger

from ._ferroloop import ReadPipeTransport, WritePipeTransport
from ._transports import finish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import BaseProtocol, Future
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    from ._loop import EventLoop

    _ProtocolT = TypeVar("_ProtocolT", bound=BaseProtocol)
    _TransportT = TypeVar("_TransportT", ReadPipeTransport, WritePipeTransport)

    class Pipe(Protocol):
        """What a pipe transport takes over: an open file, of which it needs no more than this."""

        def fileno(self) -> int: ...
        def close(self) -> object: ...


async def connect_read_pipe(
    loop: EventLoop, protocol_factory: Callable[[], _ProtocolT], pipe: Pipe
) -> tuple[ReadPipeTransport, _ProtocolT]:
    """Read `pipe` through a protocol; return (transport, protocol).

    The file behind `pipe` becomes non-blocking for everybody who has it open. The transport closes `pipe` in the end,
    also if the caller is cancelled.

    Raises ValueError if it is no pipe, socket or character device, OSError if it is closed, RuntimeError if the loop
    is, and then leaves it alone.
    """
    return await _connect(loop, protocol_factory, pipe, loop._make_read_pipe_transport, "Read")


async def connect_write_pipe(
    loop: EventLoop, protocol_factory: Callable[[], _ProtocolT], pipe: Pipe
) -> tuple[WritePipeTransport, _ProtocolT]:
    """Write to `pipe` through a transport; return (transport, protocol).

    The protocol hears of the connection and of flow control. As `connect_read_pipe` in everything else.
    """
    return await _connect(loop, protocol_factory, pipe, loop._make_write_pipe_transport, "Write")


async def _connect(
    loop: EventLoop,
    protocol_factory: Callable[[], _ProtocolT],
    pipe: Pipe,
    make: Callable[[Pipe, _ProtocolT, Future[None]], _TransportT],
    name: str,
) -> tuple[_TransportT, _ProtocolT]:
    protocol = protocol_factory()
    loop._check_closed()
    fd = pipe.fileno()  # afterwards it may be closed
    waiter: Future[None] = loop.create_future()
    transport = make(pipe, protocol, waiter)
    await finish(transport, waiter)
    if loop.get_debug():
        logger.debug("%s pipe %r connected: (%r, %r)", name, fd, transport, protocol)
    return transport, protocol


def _make_read_pipe_transport(
    loop: EventLoop,
    pipe: Pipe,
    protocol: BaseProtocol,
    waiter: Future[None] | None = None,
    extra: dict[str, Any] | None = None,
) -> ReadPipeTransport:
    """Give `pipe` to a transport that reads (a name of asyncio's that others know)."""
    return ReadPipeTransport(loop, pipe, protocol, waiter, extra)


def _make_write_pipe_transport(
    loop: EventLoop,
    pipe: Pipe,
    protocol: BaseProtocol,
    waiter: Future[None] | None = None,
    extra: dict[str, Any] | None = None,
) -> WritePipeTransport:
    """Give `pipe` to a transport that writes (a name of asyncio's that others know)."""
    return WritePipeTransport(loop, pipe, protocol, waiter, extra)
