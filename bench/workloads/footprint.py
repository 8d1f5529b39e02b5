"""What there is to pay before and between the work: memory and time of idle connections, the import."""

import socket
import ssl
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from certificate import AUTHORITY, made
from memory import allow_files, cpu_time, resident
from peers import FASTNET, NATIVE
from process import SampleFailed, answer, cores, server
from served import server_command
from workload import NO_CPU_TIME, OneByOne, Sample

# Opened before the first look at the memory, so that buffers and caches of the loop itself do not count.
_WARM_UP = 100
_SETTLING = 0.3

_IMPORT = """
import asyncio, importlib, sys, time
start = time.process_time()
loop = importlib.import_module(sys.argv[1]).new_event_loop()
print(time.process_time() - start)
loop.close()
"""
_IMPORTS = 3


@dataclass(frozen=True)
class _Footprint(OneByOne):
    name: str
    unit: str
    overhead: float
    less_is_better: bool = True

    def takes(self, loop: str) -> bool:
        """All loops."""
        return loop != NATIVE

    def missing(self) -> str | None:
        """Nothing."""
        return None


@dataclass(frozen=True, kw_only=True)
class IdleConnection(_Footprint):
    """Growth of the server's RSS for each of `count` connections that were used once."""

    transport: str
    count: int

    def sample(self, loop: str, seconds: float) -> Sample:
        """Open the connections and look at the server's memory before and after; `seconds` does not apply."""
        allow_files(self.count + _WARM_UP + 100)
        command = server_command(loop, "protocol", self.transport)
        with server(command, cores()[0]) as (pid, port), ExitStack() as connections:
            _open(connections, port, _WARM_UP, self.transport)
            before = resident(pid)
            _open(connections, port, self.count, self.transport)
            return Sample((resident(pid) - before) / self.count)


@dataclass(frozen=True, kw_only=True)
class IdleTime(_Footprint):
    """CPU time of the server while nothing happens on `count` connections, in ms for each second."""

    count: int

    def sample(self, loop: str, seconds: float) -> Sample:
        """Open the connections, let the server settle, and look at its CPU time before and after `seconds`."""
        allow_files(self.count + 100)
        with server(server_command(loop, "protocol"), cores()[0]) as (pid, port), ExitStack() as connections:
            _open(connections, port, self.count, "tcp")
            time.sleep(_SETTLING)
            before = cpu_time(pid)
            time.sleep(seconds)
            return Sample(max((cpu_time(pid) - before) / seconds * 1e3, NO_CPU_TIME))


class Import(_Footprint):
    """From a Python that has imported asyncio, as all of them do, to the first loop: CPU time in ms."""

    def takes(self, loop: str) -> bool:
        """Loops of other packages."""
        return loop not in (NATIVE, FASTNET, "asyncio")

    def sample(self, loop: str, seconds: float) -> Sample:
        """Take the best of a few fresh processes, without what the disk takes; `seconds` does not apply."""
        command = [sys.executable, "-c", _IMPORT, loop]
        return Sample(min(float(answer(command, cores()[0], timeout=60)) for _ in range(_IMPORTS)) * 1e3)


def _open(connections: ExitStack, port: int, count: int, transport: str) -> None:
    context = ssl.create_default_context(cafile=made(AUTHORITY)) if transport == "tls" else None
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
    IdleConnection("memory/idle connection", "B", overhead=1.0, transport="tcp", count=5000),
    # The client's end is larger still, and both are in this machine.
    IdleConnection("memory/idle TLS connection", "B", overhead=2.5, transport="tls", count=1000),
    IdleTime("cpu/5000 idle connections", "ms/s", overhead=1.3, count=5000),
    Import("import/first loop", "ms", overhead=0.4),
)
