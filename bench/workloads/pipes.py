"""Reading a pipe as fast as another process fills it."""

import asyncio
import subprocess

from in_loop import InLoop

_BLOCK = 64 * 1024


class _Counter(asyncio.Protocol):
    """Ends the run with the end of file."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.received = 0

    def data_received(self, data: bytes) -> None:
        self.received += len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.loop.stop()


def read(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """n blocks of 64 KiB, as many as a pipe holds at a time, from `head -c` of /dev/zero."""
    command = ["head", "-c", str(n * _BLOCK), "/dev/zero"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as writer:
        protocol = _Counter(loop)
        loop.run_until_complete(loop.connect_read_pipe(lambda: protocol, writer.stdout))
        loop.run_forever()
    assert protocol.received == n * _BLOCK


WORKLOADS = (InLoop("pipes/read 64 KiB", read),)
