"""Operations on plain non-blocking sockets (asyncio: Working with socket objects directly)."""

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Any

from ._checks import check_non_blocking, check_not_ssl_socket

if TYPE_CHECKING:
    from ._loop import EventLoop

# Seconds between two tries to connect where there is no event to wait for: short for a client, long for a processor.
_BACKLOG_RETRY = 0.01


async def sock_connect(loop: "EventLoop", sock: socket.socket, address: Any) -> None:
    """Connect the non-blocking `sock` to `address`; the host of an IP address may be a name.

    Raises OSError if the connection fails, TypeError for an SSLSocket, in debug mode ValueError for a blocking socket,
    RuntimeError if a transport owns the descriptor. connect(2).
    """
    check_not_ssl_socket(sock)
    if loop.get_debug():
        check_non_blocking(sock)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        infos = await loop._ensure_resolved(address, family=sock.family, type=sock.type, proto=sock.proto)
        address = infos[0][4]
    while True:
        try:
            sock.connect(address)
            return
        except InterruptedError:
            break  # the connection is under way, as after EINPROGRESS
        except BlockingIOError as exc:
            if exc.errno != errno.EAGAIN:
                break
        # EAGAIN, unlike EINPROGRESS, started nothing that could be waited for: the backlog of a Unix socket is full.
        await asyncio.sleep(_BACKLOG_RETRY)
    await _connected(loop, sock, address)


async def _connected(loop: "EventLoop", sock: socket.socket, address: Any) -> None:
    """Wait until the connection that has been started stands, or failed."""
    while True:
        await _writable(loop, sock)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error == 0:
            return
        try:
            raise OSError(error, f"Connect call failed {address}")
        except (BlockingIOError, InterruptedError):
            continue


async def _writable(loop: "EventLoop", sock: socket.socket) -> None:
    """Wait until `sock` is ready for writing, or broken."""
    fd = sock.fileno()
    loop._ensure_fd_no_transport(fd)
    ready = loop.create_future()
    handle = loop._add_writer(fd, _wake, ready)
    try:
        await ready
    finally:
        # A later call may have put its own watcher on the descriptor, which cancelled ours.
        if not handle.cancelled():
            loop._remove_writer(fd)


def _wake(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
