"""Memory: what an idle connection costs its server."""

import socket
from contextlib import ExitStack
from dataclasses import dataclass

from memory import allow_files, resident
from process import SampleFailed, cores, server
from served import server_command
from workload import Sample

_IDLE = 5000
# Opened before the first look at the memory, so that buffers and caches of the loop itself do not count.
_WARM_UP = 100


@dataclass(frozen=True)
class IdleConnection:
    """Growth of the server's RSS for each of 5,000 connections that were used once."""

    name: str = "memory/idle connection"
    unit: str = "B"
    less_is_better: bool = True
    has_native: bool = False

    def sample(self, loop: str, seconds: float) -> Sample:
        """Open the connections and look at the server's memory before and after; `seconds` does not apply."""
        allow_files(_IDLE + _WARM_UP + 100)
        with server(server_command(loop, "protocol"), cores()[0]) as (pid, port), ExitStack() as connections:
            _open(connections, port, _WARM_UP)
            before = resident(pid)
            _open(connections, port, _IDLE)
            return Sample((resident(pid) - before) / _IDLE, cpu=None)


def _open(connections: ExitStack, port: int, count: int) -> None:
    for _ in range(count):
        connection = connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        connection.sendall(b"?")
        if connection.recv(1) != b"?":
            raise SampleFailed("a connection does not work")


WORKLOADS = (IdleConnection(),)
