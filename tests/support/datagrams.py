"""Datagram endpoints and their peers on the loopback."""

import asyncio
import contextlib
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from support.loops import Loop
from support.net import eventually
from support.protocols import Events

# Of ancillary data: level, type and content.
Item = tuple[int, int, bytes]

# What each datagram in the queue counts besides its bytes.
OVERHEAD = 8 if sys.version_info >= (3, 13) else 0


class Mailbox(Events, asyncio.DatagramProtocol):
    """Keeps every event of an endpoint, in order."""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.events.append(("datagram", data, addr))

    def error_received(self, exc: Exception) -> None:
        self.events.append(("error", exc))

    @property
    def names(self) -> list[str]:
        """The events without arguments."""
        return [event[0] for event in self.events]

    @property
    def messages(self) -> list[bytes]:
        """The datagrams received so far."""
        return [event[1] for event in self.events if event[0] == "datagram"]

    @property
    def errors(self) -> list[Any]:
        """What error_received was told."""
        return [event[1] for event in self.events if event[0] == "error"]


class Messages(Mailbox):
    """A mailbox that asks for messages, with room for a few items."""

    room = 100

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.receive_messages(self.room)

    def message_received(self, data: bytes, ancdata: list[Item], flags: int, addr: Any) -> None:
        self.events.append(("message", data, ancdata, flags, addr))

    @property
    def received(self) -> list[tuple[bytes, list[Item], int, Any]]:
        """The arguments of each message_received."""
        return [event[1:] for event in self.events if event[0] == "message"]

    @property
    def messages(self) -> list[bytes]:
        """The messages received so far, without the rest."""
        return [message[0] for message in self.received]


@contextlib.contextmanager
def udp(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A raw UDP socket of the loopback."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(5)
        yield sock


@contextlib.asynccontextmanager
async def endpoint(make: Any = Mailbox, **options: Any) -> AsyncIterator[tuple[Any, Any]]:
    """A transport and its protocol, closed afterwards."""
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(make, **options)
    try:
        yield transport, protocol
    finally:
        await end(transport)


def refused(loop: Loop, *args: Any, **options: Any) -> Exception:
    """What the call raises; its protocol is never made."""
    with pytest.raises((ValueError, TypeError, OSError)) as caught:
        loop.run_until_complete(loop.create_datagram_endpoint(pytest.fail, *args, **options))
    return caught.value


async def end(transport: Any) -> None:
    """Abort, and wait until the socket is closed."""
    sock = transport.get_extra_info("socket")
    if sock.fileno() != -1:
        transport.abort()
    await eventually(lambda: sock.fileno() == -1)


@contextlib.asynccontextmanager
async def full(make: Any = Mailbox) -> AsyncIterator[tuple[Any, Any, socket.socket, int]]:
    """An endpoint whose peer reads nothing and has room for nothing more.

    Yields transport, protocol, the peer, and how many empty messages wait there already.
    """
    with contextlib.ExitStack() as sockets:
        directory = sockets.enter_context(tempfile.TemporaryDirectory())
        left = sockets.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        right = sockets.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        # Named, because asyncio cannot send to a peer without a name.
        right.bind(f"{directory}/peer")
        right.setblocking(False)
        left.connect(f"{directory}/peer")
        left.setblocking(False)
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                left.send(b"")
                count += 1
        async with endpoint(make, sock=left) as (transport, protocol):
            yield transport, protocol, right, count


@contextlib.asynccontextmanager
async def unix(make: Any = Messages) -> AsyncIterator[tuple[Any, Any, socket.socket]]:
    """An endpoint connected to a peer, neither of which has a name."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with right:
        right.setblocking(False)
        async with endpoint(make, sock=left) as (transport, protocol):
            yield transport, protocol, right


def take(peer: socket.socket) -> list[bytes]:
    """What waits in a non-blocking socket."""
    messages: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            messages.append(peer.recv(1 << 18))
    return messages
