"""Pipes, FIFOs, sockets and terminals: one end for a transport, the other in the test's own hands."""

import asyncio
import contextlib
import io
import os
import pty
import socket
import tempfile
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from support.protocols import Recorder

Ends = tuple[Any, Any]


def pipe() -> Ends:
    """pipe(2), as unbuffered files: (read end, write end)."""
    reader, writer = os.pipe()
    return io.FileIO(reader, "r"), io.FileIO(writer, "w")


def fifo() -> Ends:
    """A named pipe, whose name is gone already."""
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "fifo")
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(path, os.O_WRONLY)
    return io.FileIO(reader, "r"), io.FileIO(writer, "w")


def sockets() -> Ends:
    """Two connected sockets; each would do for both ends."""
    return socket.socketpair()


def terminal() -> Ends:
    """A pseudo-terminal that passes bytes on as they are: (the master, the program's side)."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    return io.FileIO(master, "r+"), io.FileIO(slave, "r+")


KINDS = {"pipe": pipe, "fifo": fifo, "socket": sockets, "terminal": terminal}


@contextlib.asynccontextmanager
async def reading(
    make: Callable[[], Any] = Recorder, ends: Callable[[], Ends] = pipe
) -> AsyncIterator[tuple[Any, Any, Any]]:
    """A read transport, its protocol and the file that is written to; all closed afterwards."""
    reader, writer = ends()
    transport, protocol = await asyncio.get_running_loop().connect_read_pipe(make, reader)
    try:
        yield transport, protocol, writer
    finally:
        transport.close()
        writer.close()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def writing(
    make: Callable[[], Any] = Recorder, ends: Callable[[], Ends] = pipe
) -> AsyncIterator[tuple[Any, Any, Any]]:
    """A write transport, its protocol and the file that is read; all closed afterwards."""
    reader, writer = ends()
    transport, protocol = await asyncio.get_running_loop().connect_write_pipe(make, writer)
    try:
        yield transport, protocol, reader
    finally:
        if not transport.is_closing():
            transport.abort()
        reader.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def read_exactly(file: Any, size: int) -> bytes:
    """So many bytes from the other end of a transport, or what came before its end."""
    os.set_blocking(file.fileno(), False)
    data = bytearray()
    while len(data) < size:
        try:
            piece = os.read(file.fileno(), min(size - len(data), 1 << 20))
        except BlockingIOError:
            await asyncio.sleep(0)
            continue
        if not piece:
            break
        data += piece
    return bytes(data)


async def read_to_end(file: Any) -> bytes:
    """Everything until the transport has closed its end."""
    return await read_exactly(file, 1 << 40)


def read_now(file: Any) -> bytes:
    """What is there, up to a mebibyte; b"" if that is nothing."""
    os.set_blocking(file.fileno(), False)
    try:
        return os.read(file.fileno(), 1 << 20)
    except BlockingIOError:
        return b""


@contextlib.contextmanager
def both(ends: Callable[[], Ends] = pipe) -> Iterator[Ends]:
    """Both ends, closed afterwards if the test has not."""
    reader, writer = ends()
    try:
        yield reader, writer
    finally:
        reader.close()
        writer.close()
