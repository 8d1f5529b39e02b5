"""`Server.drain`: no more connections, and those there are end by themselves or are aborted (S19.5, S19.10, S19.11)."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.certificates import HOST, client_context, server_context
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import eventually, receive_all
from support.protocols import Recorder
from support.serving import serving
from support.tls import Peer

pytestmark = ferroloop_only("asyncio's servers have no such method", spec="S19")

ANSWER = bytes(range(256)) * (1 << 15)


class Served:
    """A server that speaks TCP, TLS or, at `path`, Unix; and connections to it from the same loop."""

    def __init__(self, family: str, path: str) -> None:
        self.family = family
        self.path = path
        self.protocols: list[Recorder] = []
        self.server: Any = None

    def make(self) -> Recorder:
        """Make a protocol and remember it."""
        self.protocols.append(Recorder())
        return self.protocols[-1]

    async def start(self) -> None:
        """Serve."""
        loop: Loop = asyncio.get_running_loop()
        if self.family == "unix":
            self.server = await loop.create_unix_server(self.make, self.path)
        else:
            tls = server_context() if self.family == "tls" else None
            self.server = await loop.create_server(self.make, "127.0.0.1", 0, ssl=tls)
            self.address = self.server.sockets[0].getsockname()

    async def connect(self) -> tuple[Recorder, Recorder]:
        """Both ends of a new connection, the server's first."""
        loop: Loop = asyncio.get_running_loop()
        count = len(self.protocols) + 1
        if self.family == "unix":
            _, client = await loop.create_unix_connection(Recorder, self.path)
        else:
            _, client = await loop.create_connection(Recorder, *self.address, **client_tls(self.family == "tls"))
        await eventually(lambda: len(self.protocols) == count and self.protocols[-1].transport)
        return self.protocols[-1], client


def client_tls(wanted: bool) -> dict[str, Any]:
    """A client's keywords."""
    return {"ssl": client_context(), "server_hostname": HOST} if wanted else {}


@contextlib.asynccontextmanager
async def accepted() -> AsyncIterator[tuple[Any, Recorder, Peer]]:
    """A server that speaks TLS, a client that it has accepted and that has said nothing yet, and the client's protocol
    there.
    """
    protocols: list[Recorder] = []

    def make() -> Recorder:
        protocols.append(Recorder())
        return protocols[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, ssl=server_context())
    with socket.create_connection(server.sockets[0].getsockname()) as client:
        client.setblocking(False)
        await eventually(lambda: protocols)
        yield server, protocols[0], Peer(client, client_context(), server_side=False)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a socket may be bound."""
    return str(tmp_path / "socket")


@pytest.mark.tls_engines
@pytest.mark.parametrize("family", ["tcp", "unix", "tls"])
def test_connections_that_end(loop: Loop, run: Run, family: str, path: str) -> None:
    """It waits for all of them, and they lose nothing."""

    async def main() -> None:
        served = Served(family, path)
        await served.start()
        pairs = [await served.connect() for _ in range(2)]
        drain = asyncio.ensure_future(served.server.drain(60))
        await asyncio.sleep(0)
        assert served.server.sockets == ()
        assert not served.server.is_serving()
        for working, client in pairs:
            client.transport.write(b"question")
            await eventually(lambda working=working: working.data == b"question")
            assert not drain.done()
            working.transport.write(ANSWER)
            working.transport.close()
            await eventually(lambda client=client: client.lost)
            assert client.data == ANSWER
        assert await drain == 0
        assert [working.lost for working, _ in pairs] == [[None], [None]]

    run(main())


@pytest.mark.tls_engines
@pytest.mark.parametrize("family", ["tcp", "unix", "tls"])
@pytest.mark.parametrize("timeout", [0.005, 0, -1, -float("inf")])
def test_connections_that_do_not_end(loop: Loop, run: Run, family: str, path: str, timeout: float) -> None:
    """They are aborted and counted, and when it returns their protocols know; time that is over is none."""

    async def main() -> None:
        served = Served(family, path)
        await served.start()
        pairs = [await served.connect() for _ in range(3)]
        ended, client = pairs.pop()
        ended.transport.abort()
        await eventually(lambda: ended.lost and client.lost)
        assert await served.server.drain(timeout) == 2
        assert [working.lost for working, _ in pairs] == [[None], [None]]
        await eventually(lambda: all(client.lost for _, client in pairs))

    run(main())


def test_unsent_answers(run: Run) -> None:
    """A closed transport counts until its peer has taken everything; who takes nothing is aborted."""

    async def main() -> None:
        async with serving() as served:
            (_, slow), (client, quick) = [await served.connect() for _ in range(2)]
            for protocol in slow, quick:
                protocol.transport.write(ANSWER)
                protocol.transport.close()
            drain = asyncio.ensure_future(served.server.drain())
            assert await receive_all(client) == ANSWER
            await eventually(lambda: quick.lost == [None])
            assert slow.lost == []
            assert await served.server.drain(0) == 1
            assert slow.lost == [None]
            assert await drain == 0

    run(main())


@pytest.mark.parametrize("tls", [False, True])
def test_streams(run: Run, tls: bool) -> None:
    """Handlers finish their answers."""
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        await drained.wait()
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    async def ask(address: Any) -> bytes:
        reader, writer = await asyncio.open_connection(*address, **client_tls(tls))
        writer.write(b"question\n")
        try:
            return await reader.read()
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context() if tls else None)
        address = server.sockets[0].getsockname()
        asking = [asyncio.ensure_future(ask(address)) for _ in range(3)]
        await eventually(lambda: len(asked) == 3)
        drain = asyncio.ensure_future(server.drain(60))
        await asyncio.sleep(0)
        drained.set()
        assert await asyncio.gather(*asking) == [ANSWER] * 3
        assert await drain == 0

    drained = asyncio.Event()
    run(main())


@pytest.mark.parametrize("state", ["serving", "not started", "closed", "drained"])
@pytest.mark.parametrize("timeout", [None, 5, 0])
def test_without_connections(run: Run, state: str, timeout: float | None) -> None:
    """It closes the server, if need be, and there is nothing to wait for."""

    async def main() -> None:
        async with serving(start_serving=state != "not started") as served:
            if state == "closed":
                served.server.close()
            if state == "drained":
                assert await served.server.drain() == 0
            assert await served.server.drain(timeout) == 0
            assert served.server.sockets == ()
            await served.server.wait_closed()

    run(main())


def test_closed_server_with_connections(run: Run) -> None:
    """It waits on every Python (S19.9 holds for `wait_closed` alone)."""

    async def main() -> None:
        async with serving() as served:
            _, protocol = await served.connect()
            served.server.close()
            drain = asyncio.ensure_future(served.server.drain())
            await asyncio.sleep(0.002)
            assert not drain.done()
            protocol.transport.close()
            assert await drain == 0

    run(main())


@pytest.mark.parametrize("timeout", ["1", b"1", [], 1j])
def test_no_number(run: Run, timeout: Any) -> None:
    """Nothing is closed then."""

    async def main() -> None:
        async with serving() as served:
            with pytest.raises(TypeError):
                await served.server.drain(timeout)
            assert served.server.is_serving()
            await served.connect()

    run(main())


def test_new_clients_are_refused(run: Run) -> None:
    """S19.5: from the beginning on."""

    async def main() -> None:
        async with serving() as served:
            await served.connect()
            address = served.server.sockets[0].getsockname()
            drain = asyncio.ensure_future(served.server.drain())
            await asyncio.sleep(0)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            served.server.abort_clients()
            assert await drain == 0

    run(main())


def test_clients_that_nobody_has_accepted(run: Run) -> None:
    """S19.5: the system has made their connections, and ends them with the listening socket."""

    async def main() -> None:
        async with serving() as served:
            with socket.create_connection(served.server.sockets[0].getsockname()) as client:
                assert await served.server.drain() == 0
                client.settimeout(5)
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(1) == b""
            assert served.protocols == []

    run(main())


def test_connection_just_accepted(loop: Loop, run: Run) -> None:
    """It counts before its protocol knows of it, which then hears of both its beginning and its end."""

    async def main() -> None:
        def make() -> Recorder:
            drains.append(loop.create_task(server.drain(0)))
            return protocol

        protocol = Recorder()
        drains: list[asyncio.Task[int]] = []
        server = await loop.create_server(make, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()):
            await eventually(lambda: drains)
            assert await drains[0] == 1
        assert protocol.names == ["made", "lost"]

    run(main())


@pytest.mark.tls_engines
def test_handshake_that_ends_well(run: Run) -> None:
    """S22: a client that was accepted is served."""

    async def main() -> None:
        async with accepted() as (server, protocol, peer):
            drain = asyncio.ensure_future(server.drain(60))
            await asyncio.sleep(0)
            await peer.handshake()
            await eventually(lambda: protocol.transport)
            assert not drain.done()
            protocol.transport.write(b"answer")
            protocol.transport.close()
            assert await peer.receive(100) == b"answer"
            await peer.unwrap()
            assert await drain == 0
            assert protocol.lost == [None]

    run(main())


@pytest.mark.tls_engines
def test_handshake_without_an_end(loop: Loop, run: Run, errors: list[dict[str, Any]]) -> None:
    """S22: a client that says nothing is aborted like the others; the protocol never hears of it."""
    loop.set_debug(True)

    async def main() -> None:
        async with accepted() as (server, protocol, _):
            assert await server.drain(0.005) == 1
            assert protocol.events == []

    run(main())
    assert errors == []


def test_cancelled(run: Run) -> None:
    """The server stays closed, the connections live on, also when the time would be over."""

    async def main() -> None:
        async with serving() as served:
            client, protocol = await served.connect()
            drain = asyncio.ensure_future(served.server.drain(0.005))
            await asyncio.sleep(0)
            drain.cancel()
            with pytest.raises(asyncio.CancelledError):
                await drain
            await asyncio.sleep(0.02)
            assert served.server.sockets == ()
            client.send(b"alive")
            await eventually(lambda: protocol.data == b"alive")
            assert await served.server.drain(0) == 1

    run(main())


def test_close_that_fails(run: Run) -> None:
    """What was never begun has no deadline."""

    def fail() -> None:
        raise LookupError

    async def main() -> None:
        served = Served("tcp", "")
        await served.start()
        ours, client = await served.connect()
        served.server.close = fail
        with pytest.raises(LookupError):
            await served.server.drain(0.01)
        await asyncio.sleep(0.05)
        assert not ours.transport.is_closing()
        del served.server.close
        client.transport.abort()
        assert await served.server.drain() == 0

    run(main())


def test_by_a_task_that_was_cancelled(run: Run) -> None:
    """As Ctrl-C does to the one of `asyncio.run`: its last will is done."""

    async def serve(server: Any) -> int:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return int(await server.drain(0))
        raise AssertionError

    async def main() -> None:
        async with serving() as served:
            await served.connect()
            task = asyncio.ensure_future(serve(served.server))
            await asyncio.sleep(0)
            task.cancel()
            assert await task == 1

    run(main())


def test_together(run: Run) -> None:
    """Each call waits for the same end; who aborts the rest counts it."""

    async def main() -> None:
        async with serving() as served:
            for _ in range(2):
                await served.connect()
            drains = [served.server.drain(timeout) for timeout in (None, 0.005, 60)]
            assert await asyncio.gather(*drains) == [0, 2, 0]

    run(main())


def test_aborted_by_somebody_else(run: Run) -> None:
    """Before the time is over."""

    async def main() -> None:
        async with serving() as served:
            await served.connect()
            drain = asyncio.ensure_future(served.server.drain(60))
            await asyncio.sleep(0)
            served.server.abort_clients()
            assert await drain == 0

    run(main())


@pytest.mark.parametrize("how", ["by itself", "aborted"])
def test_serve_forever(run: Run, how: str) -> None:
    """S19.7: it ends with the last connection and closes none, on every Python."""

    async def main() -> None:
        async with serving() as served:
            client, protocol = await served.connect()
            forever = asyncio.ensure_future(served.server.serve_forever())
            await asyncio.sleep(0)
            drain = asyncio.ensure_future(served.server.drain())
            await asyncio.sleep(0.005)
            assert not forever.done()
            assert not protocol.transport.is_closing()
            if how == "aborted":
                assert await served.server.drain(0) == 1
            else:
                protocol.transport.write(b"answer")
                protocol.transport.close()
                assert await receive_all(client) == b"answer"
            assert await drain == 0
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(forever, 5)

    run(main())


def test_serve_forever_can_be_cancelled(run: Run) -> None:
    """S19.7: the connections then still have their time."""

    async def main() -> None:
        async with serving() as served:
            _, protocol = await served.connect()
            forever = asyncio.ensure_future(served.server.serve_forever())
            await asyncio.sleep(0)
            drain = asyncio.ensure_future(served.server.drain())
            await asyncio.sleep(0.002)
            forever.cancel()
            await asyncio.wait([forever])
            assert not drain.done()
            assert not protocol.transport.is_closing()
            protocol.transport.close()
            assert await drain == 0

    run(main())


def test_socket_file(run: Run, path: str) -> None:
    """S29, S53.3: it goes where `close()` removes it, from 3.13 on, though connections are still there."""

    async def main() -> None:
        served = Served("unix", path)
        await served.start()
        _, client = await served.connect()
        drain = asyncio.ensure_future(served.server.drain(0.005))
        await asyncio.sleep(0)
        assert os.path.exists(path) is (sys.version_info < (3, 13))
        assert await drain == 1
        await eventually(lambda: client.lost)

    run(main())
