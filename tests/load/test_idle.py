"""What connections cost that do nothing."""

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from support.gates import linux_only
from support.scripts import environment

pytestmark = [pytest.mark.load, linux_only]

_SERVER = Path(__file__).with_name("idle_server.py")
_CONNECTIONS = 5000
# Opened before the first look, so that what the loop itself sets up on first use does not count.
_WARM_UP = 100
# asyncio's bound only shows that the measurement works.
_BYTES_ALLOWED = {"asyncio": 8192, "ferroloop": 2048}


class Server(NamedTuple):
    """A server process."""

    pid: int
    port: int

    def resident(self) -> int:
        """Bytes of memory in use."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def threads(self) -> int:
        """Threads of any origin."""
        return len(os.listdir(f"/proc/{self.pid}/task"))


@pytest.fixture
def server(loop_kind: str) -> Iterator[Server]:
    """An echo server on this loop, which must end well."""
    command = [sys.executable, str(_SERVER), loop_kind]
    with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield Server(process.pid, int(process.stdout.readline()))
        process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.fixture
def _many_files() -> Iterator[None]:
    """Let this process and its children have enough of them open; fail where the system does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, _CONNECTIONS + _WARM_UP + 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("_many_files")
def test_an_idle_connection_is_small_and_needs_no_thread(loop_kind: str, server: Server) -> None:
    """S16.22, S20.8: five thousand connections, each used once, then left alone."""
    with ExitStack() as connections:
        _open(connections, server.port, _WARM_UP)
        before = server.resident()
        _open(connections, server.port, _CONNECTIONS)
        each = (server.resident() - before) / _CONNECTIONS
        threads = server.threads()
    assert 0 < each <= _BYTES_ALLOWED[loop_kind]
    assert threads == 1


def _open(connections: ExitStack, port: int, count: int) -> None:
    for _ in range(count):
        connection = connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        connection.sendall(b"?")
        assert connection.recv(1) == b"?"
