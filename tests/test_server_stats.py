"""`Server.stats`: what a server has accepted and has to do (S19, S20)."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.certificates import HOST, client_context, server_context
from support.fds import no_descriptors
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import eventually, reset
from support.protocols import Recorder

pytestmark = ferroloop_only("asyncio's servers have no such method", spec="S20")

Errors = list[dict[str, Any]]

LOCAL = ("127.0.0.1", 0)
IDLE = {"accepted": 0, "clients": 0, "listening": 1, "accept_errors": 0, "paused": 0}


async def clients(server: Any, count: int) -> None:
    """Wait until the server has so many."""
    await eventually(lambda: server.stats()["clients"] == count)


async def abort(server: Any) -> None:
    """End the server and its connections."""
    server.close()
    server.abort_clients()
    await clients(server, 0)


@pytest.mark.tls_engines
@pytest.mark.parametrize("family", ["tcp", "unix", "tls"])
def test_connections(loop: Loop, run: Run, family: str, tmp_path: Path) -> None:
    """Those that have ended were accepted, and the open ones are its clients, also of a closed server."""
    path = str(tmp_path / "socket")

    async def serve() -> Any:
        if family == "unix":
            return await loop.create_unix_server(Recorder, path)
        return await loop.create_server(Recorder, *LOCAL, ssl=server_context() if family == "tls" else None)

    async def connect(server: Any) -> Any:
        if family == "unix":
            transport, _ = await loop.create_unix_connection(Recorder, path)
            return transport
        tls = {"ssl": client_context(), "server_hostname": HOST} if family == "tls" else {}
        transport, _ = await loop.create_connection(Recorder, *server.sockets[0].getsockname(), **tls)
        return transport

    async def main() -> None:
        server = await serve()
        assert server.stats() == IDLE
        first, second = await connect(server), await connect(server)
        await clients(server, 2)
        assert server.stats() == IDLE | {"accepted": 2, "clients": 2}
        first.abort()
        await clients(server, 1)
        server.close()
        closed = IDLE | {"accepted": 2, "listening": 0}
        assert server.stats() == closed | {"clients": 1}
        second.abort()
        await clients(server, 0)
        assert server.stats() == closed

    run(main())


def test_listening(loop: Loop, run: Run) -> None:
    """Every socket counts, once it listens."""

    async def main() -> None:
        server = await loop.create_server(Recorder, ["127.0.0.1", "127.0.0.2"], 0, start_serving=False)
        assert server.stats() == IDLE | {"listening": 0}
        await server.start_serving()
        assert server.stats() == IDLE | {"listening": 2}
        addresses = [sock.getsockname() for sock in server.sockets]
        with socket.create_connection(addresses[0]), socket.create_connection(addresses[1]):
            await clients(server, 2)
            assert server.stats()["accepted"] == 2
            await abort(server)

    run(main())


def test_no_protocol(loop: Loop, run: Run) -> None:
    """A connection whose protocol cannot be made has been accepted."""

    def make() -> asyncio.Protocol:
        raise ValueError

    async def main() -> None:
        async with await loop.create_server(make, *LOCAL) as server:
            with socket.create_connection(server.sockets[0].getsockname()) as client:
                client.setblocking(False)
                assert await loop.sock_recv(client, 1) == b""
            assert server.stats() == IDLE | {"accepted": 1}

    run(main())


def test_no_handshake(loop: Loop, run: Run) -> None:
    """A TLS connection is a client during its handshake, and was accepted if that fails."""

    async def main() -> None:
        async with await loop.create_server(Recorder, *LOCAL, ssl=server_context()) as server:
            client = socket.create_connection(server.sockets[0].getsockname())
            await clients(server, 1)
            reset(client)
            await clients(server, 0)
            assert server.stats() == IDLE | {"accepted": 1}

    run(main())


def test_closed_by_the_protocol_factory(loop: Loop, run: Run) -> None:
    """What a server that is closed meanwhile refuses was accepted, too."""
    server: Any = None

    def make() -> asyncio.Protocol:
        server.close()
        return Recorder()

    async def main() -> None:
        nonlocal server
        server = await loop.create_server(make, *LOCAL)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.setblocking(False)
            with contextlib.suppress(ConnectionResetError):
                assert await loop.sock_recv(client, 1) == b""
        assert server.stats() == IDLE | {"accepted": 1, "listening": 0}

    run(main())


def test_dropped_transports(loop: Loop, run: Run) -> None:
    """Whoever is gone without a close is no client any more."""

    class Deaf(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.pause_reading()

    async def main() -> None:
        async with await loop.create_server(Deaf, *LOCAL) as server:
            with socket.create_connection(server.sockets[0].getsockname()), pytest.warns(ResourceWarning):
                await eventually(lambda: server.stats() == IDLE | {"accepted": 1})

    run(main())


@pytest.fixture
def errors(loop: Loop) -> Errors:
    """What the loop reports."""
    reports: Errors = []
    loop.set_exception_handler(lambda _, context: reports.append(context))
    return reports


def test_out_of_descriptors(loop: Loop, run: Run, errors: Errors) -> None:
    """S20.3, S20.4: one error and a pause; what waited meanwhile is accepted then."""

    async def main() -> None:
        server = await loop.create_server(Recorder, *LOCAL)
        with socket.create_connection(server.sockets[0].getsockname()):
            with no_descriptors():
                await eventually(lambda: errors)
                assert server.stats() == IDLE | {"accept_errors": 1, "paused": 1}
            await clients(server, 1)
            assert server.stats() == IDLE | {"accepted": 1, "clients": 1, "accept_errors": 1}
            await abort(server)

    run(main())


def test_closed_during_a_pause(loop: Loop, run: Run, errors: Errors) -> None:
    """S20.4: it is over with that."""

    async def main() -> None:
        server = await loop.create_server(Recorder, *LOCAL)
        with socket.create_connection(server.sockets[0].getsockname()):
            with no_descriptors():
                await eventually(lambda: errors)
            server.close()
        assert server.stats() == IDLE | {"listening": 0, "accept_errors": 1}

    run(main())


def test_another_failure(loop: Loop, run: Run, errors: Errors) -> None:
    """S20.5: what is wrong with the socket itself is no lack of anything."""

    async def main() -> None:
        server = await loop.create_server(Recorder, *LOCAL)
        server.sockets[0].shutdown(socket.SHUT_RDWR)
        await eventually(lambda: errors)
        assert server.stats() == IDLE
        server.close()

    run(main())


def in_thread(ask: Callable[[], object]) -> list[object]:
    """What another thread gets."""
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    thread.join()
    return answers


def test_from_a_thread(loop: Loop, run: Run) -> None:
    """An exporter asks from its own thread, and nothing forbids that when the loop is closed."""

    async def main() -> Any:
        server = await loop.create_server(Recorder, *LOCAL)
        with socket.create_connection(server.sockets[0].getsockname()):
            await clients(server, 1)
            assert in_thread(server.stats) == [IDLE | {"accepted": 1, "clients": 1}]
            await abort(server)
        return server

    server = run(main())
    loop.close()
    assert in_thread(server.stats) == [IDLE | {"accepted": 1, "listening": 0}]
