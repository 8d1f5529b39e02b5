"""Operations on plain non-blocking sockets (asyncio: Working with socket objects directly; recvmsg(2) and sendmsg(2)).

Each tries its system call at once, and again after every event it has to wait for. The coroutine makes the call itself
and not the loop on the event, so that one cancelled in between has taken nothing from the socket.

Receiving on a connection is native, the rest is not: there waiting is the rule, and to raise BlockingIOError each time
and to allocate a buffer for whatever may come costs more than the call. For datagrams and for sending it makes no
difference, and Python knows every address family. A socket of a class with methods of its own is received from by
these.
"""

from __future__ import annotations

import asyncio
import errno
import socket

from ._checks import check_non_blocking, check_not_ssl_socket
from ._ferroloop import try_recv, try_recv_into

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar, TypeVarTuple

    from _typeshed import ReadableBuffer, WriteableBuffer

    from ._loop import EventLoop

    _T = TypeVar("_T")
    _Ts = TypeVarTuple("_Ts")


# Seconds between two tries to connect where there is no event to wait for: short for a client, long for a processor.
_BACKLOG_RETRY = 0.01

# The standard library's methods, in whose place there are native ones.
_RECV = socket.SocketType.recv
_RECV_INTO = socket.SocketType.recv_into


async def sock_recv(loop: EventLoop, sock: socket.socket, n: int) -> bytes:
    """Receive up to `n` bytes; `b""` is the end of the stream. recv(2).

    This and the functions below raise OSError if the call fails, TypeError for an SSLSocket, in debug mode ValueError
    for a blocking socket, and RuntimeError if they have to wait and a transport owns the descriptor.
    """
    _check(loop, sock)
    native = getattr(type(sock), "recv", None) is _RECV
    while (data := try_recv(loop, sock, n) if native else attempt(sock.recv, n)) is None:
        await loop._readable(sock.fileno())
    return data


async def sock_recv_into(loop: EventLoop, sock: socket.socket, buf: WriteableBuffer) -> int:
    """Receive into a writable buffer; return the number of bytes, 0 at the end of the stream. recv(2)."""
    _check(loop, sock)
    native = getattr(type(sock), "recv_into", None) is _RECV_INTO
    while (length := try_recv_into(sock, buf) if native else attempt(sock.recv_into, buf)) is None:
        await loop._readable(sock.fileno())
    return length


async def sock_recvfrom(loop: EventLoop, sock: socket.socket, bufsize: int) -> tuple[bytes, Any]:
    """Receive a datagram of up to `bufsize` bytes, the rest of it is lost; return (data, address). recvfrom(2)."""
    _check(loop, sock)
    while (received := attempt(sock.recvfrom, bufsize)) is None:
        await loop._readable(sock.fileno())
    return received


async def sock_recvfrom_into(
    loop: EventLoop, sock: socket.socket, buf: WriteableBuffer, nbytes: int | None = 0
) -> tuple[int, Any]:
    """Receive a datagram into a writable buffer; return (bytes, address).

    `nbytes`: at most so many; 0 or None: all that fit. recvfrom(2).
    """
    _check(loop, sock)
    while (received := attempt(sock.recvfrom_into, buf, nbytes or 0)) is None:
        await loop._readable(sock.fileno())
    return received


async def sock_sendall(loop: EventLoop, sock: socket.socket, data: ReadableBuffer) -> None:
    """Send all of `data`, which must not change meanwhile. After an error it is unknown how much was sent. send(2)."""
    _check(loop, sock)
    sent = attempt(sock.send, data) or 0
    view = memoryview(data)
    while sent < view.nbytes:
        await loop._writable(sock.fileno())
        sent += attempt(sock.send, view.cast("B")[sent:]) or 0


async def sock_sendto(loop: EventLoop, sock: socket.socket, data: ReadableBuffer, address: Any) -> int:
    """Send a datagram to `address`; return the number of bytes. sendto(2)."""
    _check(loop, sock)
    while (sent := attempt(sock.sendto, data, address)) is None:
        await loop._writable(sock.fileno())
    return sent


async def sock_recvmsg(
    loop: EventLoop, sock: socket.socket, bufsize: int, ancbufsize: int = 0, flags: int = 0
) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
    """Receive up to `bufsize` bytes with their ancillary data; return (data, ancdata, msg_flags, address).

    The result is that of `socket.recvmsg`, of one system call. `ancbufsize` is the sum of `socket.CMSG_SPACE` of the
    items expected. What does not fit is lost, and MSG_TRUNC (data of a datagram) or MSG_CTRUNC (ancillary data) in
    msg_flags says so. Descriptors (SCM_RIGHTS) are the caller's to close, and inheritable unless `flags` has
    MSG_CMSG_CLOEXEC. MSG_DONTWAIT does not keep the call from waiting.

    With MSG_ERRQUEUE it waits for the error queue of the socket. To the system a socket is ready if there is data or an
    error: while one of them is left unread, a call that waits for the other keeps the loop busy.

    A call that is cancelled has taken nothing from the socket. Raises OSError if the system call fails, ValueError for
    a negative size and in debug mode for a blocking socket, TypeError for an SSLSocket, RuntimeError if it has to wait
    and a transport owns the descriptor. recvmsg(2), cmsg(3).
    """
    _check(loop, sock)
    while (received := attempt(sock.recvmsg, bufsize, ancbufsize, flags)) is None:
        await loop._readable(sock.fileno())
    return received


async def sock_recvmsg_into(
    loop: EventLoop, sock: socket.socket, buffers: Iterable[WriteableBuffer], ancbufsize: int = 0, flags: int = 0
) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
    """Receive into writable buffers, one after the other; return (bytes, ancdata, msg_flags, address).

    For the rest it is `sock_recvmsg`. recvmsg(2).
    """
    _check(loop, sock)
    buffers = tuple(buffers)  # an iterator gives them once, and there may be several tries
    while (received := attempt(sock.recvmsg_into, buffers, ancbufsize, flags)) is None:
        await loop._readable(sock.fileno())
    return received


async def sock_sendmsg(
    loop: EventLoop,
    sock: socket.socket,
    buffers: Iterable[ReadableBuffer],
    ancdata: Iterable[tuple[int, int, ReadableBuffer]] = (),
    flags: int = 0,
    address: Any = None,
) -> int:
    """Send the bytes of all `buffers` as one message, with ancillary data; return the number of bytes sent.

    It is that of one system call, as with `socket.sendmsg`: a datagram is sent whole, and of a stream as much as there
    is room for, which may be less than all. The ancillary data went with the first byte: send the rest without it, and
    at least one byte with it. `ancdata` is (level, type, data) for each item. Without `address` the message goes to the
    peer that the socket is connected to. Nothing given may change while the call waits.

    A call that is cancelled has sent nothing. Errors are those of `sock_recvmsg`. sendmsg(2), cmsg(3).
    """
    _check(loop, sock)
    buffers, ancdata = tuple(buffers), tuple(ancdata)
    while (sent := attempt(sock.sendmsg, buffers, ancdata, flags, address)) is None:
        await loop._writable(sock.fileno())
    return sent


async def sock_accept(loop: EventLoop, sock: socket.socket) -> tuple[socket.socket, Any]:
    """Accept a connection; return (socket, address), the socket non-blocking. accept(2)."""
    _check(loop, sock)
    fd = sock.fileno()  # asked for first, of whatever was given, as by asyncio
    while (accepted := attempt(sock.accept)) is None:
        await loop._readable(fd)
    connection, address = accepted
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
        await loop._writable(sock.fileno())
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error == 0:
            return
        try:
            raise OSError(error, f"Connect call failed {address}")
        except (BlockingIOError, InterruptedError):
            continue


def _check(loop: EventLoop, sock: socket.socket) -> None:
    check_not_ssl_socket(sock)
    if loop.get_debug():
        check_non_blocking(sock)


def attempt(method: Callable[[*_Ts], _T], *args: *_Ts) -> _T | None:
    """What a method of a socket returns, None if it would have to wait."""
    try:
        return method(*args)
    except (BlockingIOError, InterruptedError):
        return None
