"""uvicorn with httptools, unmodified, serving an ASGI application on either loop."""

import hashlib
import http.client
import json
import re
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from programs import launch

ARGUMENTS = ["uvicorn", "asgi:app", "--http", "httptools", "--port", "0", "--no-access-log"]
SERVERS = {
    "asyncio": (["-m", *ARGUMENTS, "--loop", "asyncio"], launch.ASYNCIO),
    "--loop": (["-m", *ARGUMENTS, "--loop", "ferroloop:new_event_loop"], launch.FERROLOOP),
    "launcher": (["-m", "ferroloop", "-m", *ARGUMENTS, "--loop", "asyncio"], launch.FERROLOOP),
}


class Served:
    """A running uvicorn."""

    def __init__(self, program: launch.Running, loop: str) -> None:
        self.program = program
        self.loop = loop
        self.port = int(re.match(r"\S+:(\d+)", program.read_until("Uvicorn running on ")).group(1))

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """The body of one answer on a connection of its own."""
        connection = self.connect()
        try:
            return ask(connection, path, body)
        finally:
            connection.close()


def ask(connection: http.client.HTTPConnection, path: str, body: bytes | None = None) -> bytes:
    connection.request("GET" if body is None else "POST", path, body)
    response = connection.getresponse()
    assert response.status == 200
    return response.read()


@pytest.fixture(params=SERVERS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    arguments, loop = SERVERS[request.param]
    with launch.start([sys.executable, *arguments]) as program:
        yield Served(program, loop)


def test_answers(served: Served) -> None:
    body = bytes(range(256)) * 8192
    assert json.loads(served.ask("/loop")) == {"loop": served.loop}
    assert json.loads(served.ask("/digest", body)) == {
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    assert served.ask("/numbers").split() == [b"%d" % number for number in range(100)]
    assert served.ask("/bulk") == bytes(16777216)
    assert json.loads(served.ask("/together")) == {"found": [499500, *range(10)]}


def test_many_connections_kept_alive(served: Served) -> None:
    def converse(_: int) -> list[bytes]:
        connection = served.connect()
        try:
            return [ask(connection, "/loop") for _ in range(20)]
        finally:
            connection.close()

    with ThreadPoolExecutor(32) as pool:
        answers = [answer for answers in pool.map(converse, range(64)) for answer in answers]
    assert answers == [json.dumps({"loop": served.loop}).encode()] * (64 * 20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_shuts_down(served: Served, number: signal.Signals) -> None:
    """The idle server lets the application shut down, with a client still connected, and ends as on asyncio."""
    connection = served.connect()
    ask(connection, "/loop")
    status, output = served.program.end(number)
    connection.close()
    assert "lifespan shutdown\n" in output
    assert "Finished server process" in output
    assert "Traceback" not in output
    assert status == {signal.SIGINT: 0, signal.SIGTERM: -signal.SIGTERM}[number]
