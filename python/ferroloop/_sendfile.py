"""Sending files: by sendfile(2) where that works, by reading and sending where it does not.

A file goes out chunk by chunk, one for each time the socket has room, whatever the kernel takes at once: the loop must
get its turn. Afterwards the file's position is where the sending ended, also if it failed or was cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import socket
import sys
from asyncio import SendfileNotAvailableError
from asyncio.constants import _SendfileMode

from ._checks import check_non_blocking, check_not_ssl_socket
from ._ferroloop import StreamTransport, try_sendfile
from ._sock import attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import IO, Any, Protocol, TypeAlias

    from ._loop import EventLoop

    # Sends up to so many bytes of the file from an offset on: how many it were, 0 at the end of the file, None if there
    # is no room.
    _SendChunk: TypeAlias = Callable[[int, int], int | None]

    class _Sender(Protocol):
        """Where the fallbacks put what they have read."""

        sent: int

        async def send(self, data: memoryview) -> None:
            """Send all of it, and count in `sent` at once what is beyond recall."""


# What one call may ask for: a 32-bit system cannot count further.
_LARGEST_CHUNK = sys.maxsize // 2 + 1

# Bytes read at a time by the fallbacks (asyncio's numbers).
_SOCKET_BLOCK = 256 * 1024
_TRANSPORT_BLOCK = 16 * 1024


async def sock_sendfile(
    loop: EventLoop,
    sock: socket.socket,
    file: IO[bytes],
    offset: int = 0,
    count: int | None = None,
    *,
    fallback: bool | None = True,
) -> int:
    """Send `count` bytes of `file`, or all there are, from `offset` on over a stream socket.

    Return the number of bytes sent. Where sendfile(2) cannot be used the file is read and sent, unless `fallback` is
    false.

    Raises SendfileNotAvailableError without the fallback, OSError if sending fails, ValueError and TypeError for
    arguments that do not fit.
    """
    if loop.get_debug():
        check_non_blocking(sock)
    check_not_ssl_socket(sock)
    _check_binary(file)
    if sock.type != socket.SOCK_STREAM:
        raise ValueError("only SOCK_STREAM type sockets are supported")
    _check_range(offset, count)
    try:
        return await loop._sock_sendfile_native(sock, file, offset, count)
    except SendfileNotAvailableError:
        if not fallback:
            raise
    return await _send_by_reading(loop, file, offset, count, _SOCKET_BLOCK, _SocketSender(loop, sock))


async def sendfile(
    loop: EventLoop,
    transport: asyncio.WriteTransport,
    file: IO[bytes],
    offset: int = 0,
    count: int | None = None,
    *,
    fallback: bool = True,
) -> int:
    """Send `count` bytes of `file`, or all there are, from `offset` on over a transport.

    Return the number of bytes sent. What was written before goes first; meanwhile reading is paused, and nothing else
    can be written while sendfile(2) is used. Where it cannot be, the file is read and written, unless `fallback` is
    false.

    Raises RuntimeError if the transport is closing, sends a file already or has no way to, ValueError for a text
    file, a negative `offset` or a `count` below 1, TypeError if they are no integers, SendfileNotAvailableError without
    the fallback, ConnectionError if the connection is lost.
    """
    if transport.is_closing():
        raise RuntimeError("Transport is closing")
    mode = getattr(transport, "_sendfile_compatible", _SendfileMode.UNSUPPORTED)
    if mode is _SendfileMode.UNSUPPORTED:
        raise RuntimeError(f"sendfile is not supported for transport {transport!r}")
    if mode is _SendfileMode.TRY_NATIVE:
        try:
            return await loop._sendfile_native(transport, file, offset, count)
        except SendfileNotAvailableError:
            if not fallback:
                raise
    if not fallback:
        raise RuntimeError(f"fallback is disabled and native sendfile is not supported for transport {transport!r}")
    return await _sendfile_fallback(loop, transport, file, offset, count)


def _check_binary(file: IO[bytes]) -> None:
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("file should be opened in binary mode")


def _check_range(offset: int, count: int | None) -> None:
    if count is not None:
        _check_number(count, 1, f"count must be a positive integer (got {count!r})")
    _check_number(offset, 0, f"offset must be a non-negative integer (got {offset!r})")


def _check_number(number: Any, least: int, complaint: str) -> None:
    if not isinstance(number, int):
        raise TypeError(complaint)
    if number < least:
        raise ValueError(complaint)


# By the system call.


async def _sock_sendfile_native(
    loop: EventLoop, sock: socket.socket, file: IO[bytes], offset: int, count: int | None
) -> int:
    fd = _regular_file(file)
    room = functools.partial(loop._writable, sock.fileno())
    return await _send_chunks(functools.partial(try_sendfile, sock, fd), room, fd, offset, count)


async def _sendfile_native(
    loop: EventLoop, transport: asyncio.WriteTransport, file: IO[bytes], offset: int, count: int | None
) -> int:
    if not isinstance(transport, StreamTransport):
        raise SendfileNotAvailableError("sendfile syscall is not supported")
    _check_binary(file)
    _check_range(offset, count)
    fd = _regular_file(file)
    transport._begin_sendfile()
    was_reading = transport.is_reading()
    transport.pause_reading()
    try:
        return await _send_chunks(functools.partial(transport._send_chunk, fd), transport._room, fd, offset, count)
    finally:
        transport._end_sendfile()
        if was_reading:
            transport.resume_reading()


def _regular_file(file: IO[bytes]) -> int:
    """The descriptor of a file that sendfile(2) might take."""
    if not hasattr(os, "sendfile"):
        raise SendfileNotAvailableError("os.sendfile() is not available")
    try:
        fd = file.fileno()
        os.fstat(fd)
    except (AttributeError, OSError) as exc:  # io.UnsupportedOperation is an OSError
        raise SendfileNotAvailableError("not a regular file") from exc
    return fd


async def _send_chunks(
    send: _SendChunk, room: Callable[[], Awaitable[None]], fd: int, offset: int, count: int | None
) -> int:
    chunk = os.fstat(fd).st_size
    sent = 0
    try:
        while (left := chunk if count is None else count - sent) > 0:
            newly = _send_chunk(send, offset, sent, min(left, _LARGEST_CHUNK))
            if newly == 0:
                break
            sent += newly or 0
            if sent != count:
                await room()
        return sent
    finally:
        with contextlib.suppress(OSError):  # it must not hide how the sending ended
            os.lseek(fd, offset + sent, os.SEEK_SET)


def _send_chunk(send: _SendChunk, offset: int, sent: int, size: int) -> int | None:
    try:
        return send(offset + sent, size)
    except OSError as exc:
        if sent == 0:
            raise SendfileNotAvailableError("os.sendfile call failed") from exc
        if exc.errno == errno.ENOTCONN:
            raise ConnectionError("socket is not connected", errno.ENOTCONN) from exc
        raise


# By reading.


async def _send_by_reading(
    loop: EventLoop,
    file: IO[bytes],
    offset: int,
    count: int | None,
    block: int,
    sender: _Sender,
) -> int:
    seek: Callable[[int], object] = getattr(file, "seek", lambda position: None)
    readinto: Callable[[memoryview], int | None] = file.readinto  # type: ignore[attr-defined]  # typeshed's IO has none
    seek(offset)
    buffer = memoryview(bytearray(block if count is None else min(count, block)))
    try:
        while (left := block if count is None else count - sender.sent) > 0:
            read = await loop.run_in_executor(None, readinto, buffer[:left])
            if not read:
                break
            await sender.send(buffer[:read])
        return sender.sent
    finally:
        if sender.sent > 0:
            seek(offset + sender.sent)


async def _sendfile_fallback(loop: EventLoop, transport: Any, file: IO[bytes], offset: int, count: int | None) -> int:
    sender = _TransportSender(loop, transport)
    try:
        return await _send_by_reading(loop, file, offset, count, _TRANSPORT_BLOCK, sender)
    finally:
        sender.restore()


class _SocketSender:
    """What `sock_sendall` does, and how far it came."""

    def __init__(self, loop: EventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._sock = sock
        self.sent = 0

    async def send(self, data: memoryview) -> None:
        """Send all of it."""
        while True:
            newly = attempt(self._sock.send, data) or 0
            self.sent += newly
            data = data[newly:]
            if not data:
                return
            await self._loop._writable(self._sock.fileno())


class _TransportSender(asyncio.Protocol):
    """Stands in for a transport's protocol, to hear when it may write; reading is paused."""

    def __init__(self, loop: EventLoop, transport: Any) -> None:
        self._loop = loop
        self._transport = transport
        self._protocol: asyncio.Protocol = transport.get_protocol()
        self._was_reading: bool = transport.is_reading()
        self._was_paused: bool = transport._protocol_paused
        # None while writing is not paused.
        self._resumed: asyncio.Future[None] | None = loop.create_future() if self._was_paused else None
        self._error: Exception | None = None
        self.sent = 0
        transport.pause_reading()
        transport.set_protocol(self)

    async def send(self, data: memoryview) -> None:
        """Write, and wait until more may be written. Raises what the connection is lost with, or ConnectionError."""
        self._transport.write(data)
        self._transport.get_extra_info("socket")  # has it sent now, not when the callback ends
        if self._transport.is_closing() or getattr(self._transport, "_drops_writes", False):
            raise ConnectionError("Connection closed by peer")
        self.sent += len(data)  # before the wait: what the transport has taken goes out, whatever becomes of this call
        if self._resumed is not None:
            await self._resumed
        if self._error is not None:
            raise self._error

    def restore(self) -> None:
        """Give the transport its protocol back; what each had asked of the other before, or missed since, is said."""
        self._transport.set_protocol(self._protocol)
        if self._was_reading:
            self._transport.resume_reading()
        is_paused = self._resumed is not None
        if self._was_paused and not is_paused:
            self._protocol.resume_writing()
        elif is_paused and not self._was_paused:
            self._protocol.pause_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell both: the protocol in whose place this is, and whoever waits."""
        self._error = exc or ConnectionError("Connection is closed by peer")
        self.resume_writing()
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Make `send` wait."""
        self._resumed = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let `send` return."""
        if self._resumed is not None:
            if not self._resumed.done():
                self._resumed.set_result(None)
            self._resumed = None

    def data_received(self, data: bytes) -> None:
        """Not before somebody resumes reading, and there is no protocol to take it."""
        raise RuntimeError("Invalid state: reading should be paused")

    def eof_received(self) -> bool | None:
        """As `data_received`."""
        raise RuntimeError("Invalid state: reading should be paused")
