"""Operations on plain non-blocking sockets (asyncio: Working with socket objects directly).

Each tries its system call at once, and again after every event it has to wait for. The coroutine makes the call itself
and not the loop on the event, so that one cancelled in between has taken nothing from the socket.

Receiving on a connection is native, the rest is not: there waiting is the rule, and to raise BlockingIOError each time
and to allocate a buffer for whatever may come costs more than the call. For datagrams and for sending it makes no
difference, and Python knows every address family.
"""

from __future__ import annotations

import asyncio
import errno
import socket

from ._checks import check_non_blocking, check_not_ssl_socket
from ._ferroloop import try_recv, try_recv_into

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias, TypeVar

    from _typeshed import ReadableBuffer, WriteableBuffer

    from ._loop import EventLoop

    _T = TypeVar("_T")
    _Waiting: TypeAlias = Callable[[int], "asyncio.Future[None]"]


# Seconds between two tries to connect where there is no event to wait for: short for a client, long for a processor.
_BACKLOG_RETRY = 0.01


async def sock_recv(loop: EventLoop, sock: socket.socket, n: int) -> bytes:
    """Receive up to `n` bytes; `b""` is the end of the stream. recv(2).

    This and the functions below raise OSError if the call fails, TypeError for an SSLSocket, in debug mode ValueError
    for a blocking socket, and RuntimeError if they have to wait and a transport owns the descriptor.
    """
    _check(loop, sock)
    return await _complete(loop, sock, loop._readable, try_recv, loop, sock, n)


async def sock_recv_into(loop: EventLoop, sock: socket.socket, buf: WriteableBuffer) -> int:
    """Receive into a writable buffer; return the number of bytes, 0 at the end of the stream. recv(2)."""
    _check(loop, sock)
    return await _complete(loop, sock, loop._readable, try_recv_into, sock, buf)


async def sock_recvfrom(loop: EventLoop, sock: socket.socket, bufsize: int) -> tuple[bytes, Any]:
    """Receive a datagram of up to `bufsize` bytes, the rest of it is lost; return (data, address). recvfrom(2)."""
    _check(loop, sock)
    return await _complete(loop, sock, loop._readable, _attempt, sock, "recvfrom", bufsize)


async def sock_recvfrom_into(
    loop: EventLoop, sock: socket.socket, buf: WriteableBuffer, nbytes: int = 0
) -> tuple[int, Any]:
    """Receive a datagram into a writable buffer, at most `nbytes` or, if 0, all that fits; return (bytes, address)."""
    _check(loop, sock)
    return await _complete(loop, sock, loop._readable, _attempt, sock, "recvfrom_into", buf, nbytes)


async def sock_sendall(loop: EventLoop, sock: socket.socket, data: ReadableBuffer) -> None:
    """Send all of `data`, which must not change meanwhile. After an error it is unknown how much was sent. send(2)."""
    _check(loop, sock)
    sent = _attempt(sock, "send", data) or 0
    view = memoryview(data)
    if sent < view.nbytes:
        await _send_rest(loop, sock, view.cast("B"), sent)


async def sock_sendto(loop: EventLoop, sock: socket.socket, data: ReadableBuffer, address: Any) -> int:
    """Send a datagram to `address`; return the number of bytes. sendto(2)."""
    _check(loop, sock)
    return await _complete(loop, sock, loop._writable, _attempt, sock, "sendto", data, address)


async def sock_accept(loop: EventLoop, sock: socket.socket) -> tuple[socket.socket, Any]:
    """Accept a connection; return (socket, address), the socket non-blocking. accept(2)."""
    _check(loop, sock)
    connection, address = await _complete(loop, sock, loop._readable, _attempt, sock, "accept")
    connection.setblocking(False)
    return connection, address


async def sock_connect(loop: EventLoop, sock: socket.socket, address: Any) -> None:
    """Connect the non-blocking `sock` to `address`; the host of an IP address may be a name.

    connect(2).
    """
    _check(loop, sock)
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


async def _connected(loop: EventLoop, sock: socket.socket, address: Any) -> None:
    """Wait until the connection that has been started stands, or failed."""
    while True:
        await wait(loop, sock.fileno(), loop._writable)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error == 0:
            return
        try:
            raise OSError(error, f"Connect call failed {address}")
        except (BlockingIOError, InterruptedError):
            continue


async def _send_rest(loop: EventLoop, sock: socket.socket, data: memoryview, sent: int) -> None:
    while sent < len(data):
        await wait(loop, sock.fileno(), loop._writable)
        sent += _attempt(sock, "send", data[sent:]) or 0


def _check(loop: EventLoop, sock: socket.socket) -> None:
    check_not_ssl_socket(sock)
    if loop.get_debug():
        check_non_blocking(sock)


def _attempt(sock: socket.socket, method: str, *args: Any) -> Any:
    """What a method of the socket returns, None if it would have to wait."""
    try:
        return getattr(sock, method)(*args)
    except (BlockingIOError, InterruptedError):
        return None


async def _complete(
    loop: EventLoop, sock: socket.socket, waiting: _Waiting, attempt: Callable[..., _T | None], *args: Any
) -> _T:
    """Make attempts until one has a result, waiting for an event after each that has not."""
    while (result := attempt(*args)) is None:
        await wait(loop, sock.fileno(), waiting)
    return result


async def wait(loop: EventLoop, fd: int, waiting: _Waiting) -> None:
    """Wait for one event of `fd`; `waiting` is the method of the loop that says which."""
    waiter = waiting(fd)
    try:
        await waiter
    except BaseException:
        loop._end_wait(fd, waiter)
        raise
