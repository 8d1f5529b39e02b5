"""Pipes: read as fast as another process fills them, and filled as fast as another process reads."""

import asyncio
import subprocess
from typing import cast

from in_loop import InLoop

# As much as a pipe holds at a time.
_BLOCK = 64 * 1024
_ZEROS = bytes(_BLOCK)


class _Counter(asyncio.Protocol):
    """Ends the run with the end of file."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.received = 0

    def data_received(self, data: bytes) -> None:
        self.received += len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.loop.stop()


class _Source(asyncio.BaseProtocol):
    """Writes a block in each iteration in which there is room, and ends the run after n."""

    def __init__(self, loop: asyncio.AbstractEventLoop, n: int) -> None:
        self.loop = loop
        self.left = n
        self.has_room = True
        self.is_waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every peer's transport is one by its type.
        self.transport = cast(asyncio.WriteTransport, transport)
        self.loop.call_soon(self._write)

    def pause_writing(self) -> None:
        self.has_room = False

    def resume_writing(self) -> None:
        self.has_room = True
        if self.is_waiting:
            self.is_waiting = False
            self.loop.call_soon(self._write)

    def _write(self) -> None:
        self.left -= 1
        self.transport.write(_ZEROS)
        if not self.left:
            self.transport.close()
        elif self.has_room:
            self.loop.call_soon(self._write)
        else:
            self.is_waiting = True

    def connection_lost(self, exc: Exception | None) -> None:
        assert exc is None
        self.loop.stop()


def read(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """n blocks of 64 KiB that `dd` writes."""
    command = ["dd", "if=/dev/zero", f"bs={_BLOCK}", f"count={n}", "status=none"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as writer:
        protocol = _Counter(loop)
        loop.run_until_complete(loop.connect_read_pipe(lambda: protocol, writer.stdout))
        loop.run_forever()
    assert protocol.received == n * _BLOCK


def write(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """n blocks of 64 KiB to a `cat` that throws them away."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0) as reader:
        protocol = _Source(loop, n)
        loop.run_until_complete(loop.connect_write_pipe(lambda: protocol, reader.stdin))
        loop.run_forever()
    assert not protocol.left


WORKLOADS = (
    InLoop("pipes/read 64 KiB", read, has_transports=True),
    InLoop("pipes/write 64 KiB", write, has_transports=True),
)
