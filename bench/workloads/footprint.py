"""Memory: what an idle connection costs its server."""

import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass

from certificate import AUTHORITY, made
from memory import allow_files, resident
from process import SampleFailed, cores, server
from served import server_command
from workload import Sample

# Opened before the first look at the memory, so that buffers and caches of the loop itself do not count.
_WARM_UP = 100


@dataclass(frozen=True)
class IdleConnection:
    """Growth of the server's RSS for each of `count` connections that were used once."""

    name: str
    transport: str
    count: int
    unit: str = "B"
    less_is_better: bool = True
    has_native: bool = False

    def sample(self, loop: str, seconds: float) -> Sample:
        """Open the connections and look at the server's memory before and after; `seconds` does not apply."""
        allow_files(self.count + _WARM_UP + 100)
        command = server_command(loop, "protocol", self.transport)
        with server(command, cores()[0]) as (pid, port), ExitStack() as connections:
            self._open(connections, port, _WARM_UP)
            before = resident(pid)
            self._open(connections, port, self.count)
            return Sample((resident(pid) - before) / self.count, cpu=None)

    def _open(self, connections: ExitStack, port: int, count: int) -> None:
        context = ssl.create_default_context(cafile=made(AUTHORITY)) if self.transport == "tls" else None
        for _ in range(count):
            _use(connections, port, context)


def _use(connections: ExitStack, port: int, context: ssl.SSLContext | None) -> None:
    with ExitStack() as opening:
        connection = opening.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        if context is not None:
            connection = opening.enter_context(context.wrap_socket(connection, server_hostname="localhost"))
        connection.sendall(b"?")
        if connection.recv(1) != b"?":
            raise SampleFailed("a connection does not work")
        connections.push(opening.pop_all())


WORKLOADS = (
    IdleConnection("memory/idle connection", "tcp", count=5000),
    # The client's end is larger still, and both are in this machine.
    IdleConnection("memory/idle TLS connection", "tls", count=1000),
)
