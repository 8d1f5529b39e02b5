"""S20: accepting connections, and what happens when that fails."""

import asyncio
import contextlib
import errno
import logging
import re
import socket
import time
from asyncio.log import logger
from asyncio.trsock import TransportSocket
from typing import Any

import pytest
from support.fds import no_descriptors, open_fds
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually, receive_all, reset
from support.protocols import Recorder

Errors = list[dict[str, Any]]


def dial(server: Any) -> socket.socket:
    """A client of the server, non-blocking."""
    client = socket.create_connection(server.sockets[0].getsockname())
    client.setblocking(False)
    return client


class Protocols(list[Recorder]):
    """A protocol factory that remembers what it made."""

    def __call__(self) -> Recorder:
        self.append(Recorder())
        return self[-1]

    async def made(self, count: int) -> None:
        """Wait until so many have a connection."""
        await eventually(lambda: sum(bool(p.transport) for p in self) >= count)

    async def end(self) -> None:
        """Abort all connections."""
        for protocol in self:
            if protocol.transport and not protocol.lost:
                protocol.transport.abort()
        await asyncio.sleep(0.001)


def test_accepted_connection(loop: Loop, run: Run) -> None:
    """S20.6, S16.3, S16.4: peername is what accept said; TCP_NODELAY is set."""

    async def main() -> None:
        protocols = Protocols()
        server = await loop.create_server(protocols, "127.0.0.1", 0)
        client = dial(server)
        await protocols.made(1)
        transport = protocols[0].transport
        assert transport.get_extra_info("peername") == client.getsockname()
        assert transport.get_extra_info("sockname") == client.getpeername()
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert sock.gettimeout() == 0
        assert not sock.get_inheritable()
        transport.write(b"hello")
        transport.close()
        assert await receive_all(client) == b"hello"
        client.close()
        server.close()

    run(main())


def test_burst(loop: Loop, run: Run) -> None:
    """S20.1, S20.8: all are accepted, each once, and the loop stays responsive meanwhile."""
    count = 90
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def main() -> None:
        protocols = Protocols()
        server = await loop.create_server(protocols, "127.0.0.1", 0, backlog=100)
        clients = [dial(server) for _ in range(count)]
        ticker = asyncio.ensure_future(tick())
        await protocols.made(count)
        assert ticks > 1
        ticker.cancel()
        peers = {p.transport.get_extra_info("peername") for p in protocols}
        assert peers == {client.getsockname() for client in clients}
        server.close()
        await protocols.end()
        for client in clients:
            client.close()
        assert len(protocols) == count

    run(main())


@pytest.mark.parametrize("end", [socket.socket.close, reset])
def test_peers_gone_before_the_accept(loop: Loop, run: Run, end: Any) -> None:
    """S20.2: they neither stop the batch nor end the server."""

    async def main() -> None:
        protocols = Protocols()
        server = await loop.create_server(protocols, "127.0.0.1", 0)
        for _ in range(5):
            end(dial(server))
        client = dial(server)
        await eventually(lambda: any(not p.lost for p in protocols if p.transport))
        await eventually(lambda: sum(bool(p.lost) for p in protocols) == len(protocols) - 1)
        client.close()
        server.close()
        await eventually(lambda: all(p.lost for p in protocols))

    run(main())


@ferroloop_only("asyncio reports and retries up to backlog times", "S20.4")
def test_out_of_descriptors(loop: Loop, run: Run, errors: Errors) -> None:
    """S20.3, S20.4, S46.1: one report, the watching stops, one retry after a second."""

    async def main() -> None:
        protocols = Protocols()
        server = await loop.create_server(protocols, "127.0.0.1", 0)
        client = dial(server)
        with no_descriptors():
            started = time.monotonic()
            await eventually(lambda: errors)
            await asyncio.sleep(0.1)
            (context,) = errors
            assert context["message"] == "socket.accept() out of system resource"
            assert context["exception"].errno == errno.EMFILE
            assert context["socket"].fileno() == server.sockets[0].fileno()
            assert isinstance(context["socket"], TransportSocket)
            assert protocols == []
        await protocols.made(1)
        assert 0.9 <= time.monotonic() - started < 4
        assert len(errors) == 1
        server.close()
        await protocols.end()
        client.close()

    run(main())


@ferroloop_only("asyncio retries on the closed server", "S20.4")
def test_closed_while_out_of_descriptors(loop: Loop, run: Run, errors: Errors) -> None:
    """S20.4: no retry afterwards."""

    async def main() -> None:
        protocols = Protocols()
        server = await loop.create_server(protocols, "127.0.0.1", 0)
        client = dial(server)
        with no_descriptors():
            await eventually(lambda: errors)
            server.close()
        await asyncio.sleep(1.1)
        assert protocols == []
        assert len(errors) == 1
        client.close()

    run(main())


def test_foreign_trouble_with_the_socket(loop: Loop, run: Run, errors: Errors) -> None:
    """S20.5: reported as a failed callback, here because it listens no more."""

    async def main() -> None:
        protocols = Protocols()
        server = await loop.create_server(protocols, "127.0.0.1", 0)
        server.sockets[0].shutdown(socket.SHUT_RDWR)
        await eventually(lambda: errors)
        server.close()
        assert isinstance(errors[0]["exception"], OSError)
        assert errors[0]["exception"].errno == errno.EINVAL
        assert errors[0]["message"].startswith("Exception in callback ")

    run(main())


@ferroloop_only("asyncio leaves the socket to the collector", "S20.7")
def test_foreign_trouble_with_the_log(loop: Loop, run: Run, errors: Errors) -> None:
    """S20.5: what a filter raises is reported, and the server goes on."""
    loop.set_debug(True)

    def refuse(record: logging.LogRecord) -> bool:
        if "got a new connection" in record.msg:
            raise Boom
        return True

    async def main() -> None:
        protocols = Protocols()
        server = await loop.create_server(protocols, "127.0.0.1", 0)
        logger.addFilter(refuse)
        try:
            with dial(server):
                await eventually(lambda: errors)
        finally:
            logger.removeFilter(refuse)
        assert isinstance(errors[0]["exception"], Boom)
        assert errors[0]["message"].startswith("Exception in callback ")
        with dial(server):
            await protocols.made(1)
        await protocols.end()
        server.close()

    run(main())


class Boom(Exception):
    """Raised by protocol factories and filters."""


@pytest.mark.parametrize("kind", [Boom, asyncio.CancelledError])
@ferroloop_only("asyncio leaves the socket to the collector", "S20.7")
def test_failing_factory(loop: Loop, run: Run, errors: Errors, kind: type[BaseException]) -> None:
    """S20.7: the connection is closed at once; reported only in debug mode."""

    def factory() -> Any:
        raise kind

    async def main() -> None:
        server = await loop.create_server(factory, "127.0.0.1", 0)
        for debug in (False, True):
            loop.set_debug(debug)
            client = dial(server)
            assert await receive_all(client) == b""
            client.close()
            await asyncio.sleep(0.001)
            assert len(errors) == debug
        server.close()
        text = "Error on transport creation for incoming connection"
        assert errors[0]["message"] == text
        assert type(errors[0]["exception"]) is kind
        assert "protocol" not in errors[0]
        assert "transport" not in errors[0]

    run(main())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@ferroloop_only("asyncio leaves the socket to the collector", "S20.7")
def test_exit_request_of_a_factory(loop: Loop, kind: type[BaseException]) -> None:
    """S0.11, S20.7: it leaves the run; the server goes on in the next one."""
    protocols = Protocols()
    failing = [True]

    def factory() -> Any:
        if failing.pop() if failing else False:
            raise kind
        return protocols()

    server = loop.run_until_complete(loop.create_server(factory, "127.0.0.1", 0))
    first = dial(server)
    with pytest.raises(kind):
        loop.run_forever()
    second = dial(server)
    loop.run_until_complete(protocols.made(1))
    server.close()
    loop.run_until_complete(protocols.end())
    first.close()
    second.close()


def test_failing_connection_made(loop: Loop, run: Run, errors: Errors) -> None:
    """S20.7, S3.10: a failed callback; the connection is the protocol's."""

    class Failing(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            raise Boom

    made: list[Failing] = []

    def factory() -> Failing:
        made.append(Failing())
        return made[-1]

    async def main() -> None:
        server = await loop.create_server(factory, "127.0.0.1", 0)
        client = dial(server)
        await eventually(lambda: errors)
        client.send(b"data")
        await eventually(lambda: made[0].data == b"data")
        made[0].transport.abort()
        client.close()
        server.close()
        await asyncio.sleep(0.001)
        assert [type(context["exception"]) for context in errors] == [Boom]

    run(main())


def test_debug_log(loop: Loop, run: Run, logged: LogList) -> None:
    """S20.6."""
    loop.set_debug(True)

    async def main() -> None:
        protocols = Protocols()
        server = await loop.create_server(protocols, "127.0.0.1", 0)
        client = dial(server)
        await protocols.made(1)
        start = re.escape(f"{server!r} got a new connection from {client.getsockname()!r}: ")
        texts = [t for t in logged.texts(logging.DEBUG) if " got a new connection " in t]
        assert len(texts) == 1
        assert re.match(start + r"<socket\.socket fd=\d+, ", texts[0])
        server.close()
        await protocols.end()
        client.close()

    run(main())


def test_rejected_peers_leave_nothing(loop: Loop, run: Run) -> None:
    """S20.5: hundreds of rejected peers leave neither fds nor tasks."""

    class Rejecting(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.abort()

    async def main() -> None:
        server = await loop.create_server(Rejecting, "127.0.0.1", 0)
        await asyncio.sleep(0)
        before, tasks = open_fds(), asyncio.all_tasks()
        for _ in range(200):
            client = dial(server)
            await receive_all_or_reset(client)
            client.close()
        await asyncio.sleep(0.002)
        assert open_fds() == before
        assert asyncio.all_tasks() == tasks
        server.close()

    run(main())


async def receive_all_or_reset(peer: socket.socket) -> None:
    """Wait for the end, however abrupt."""
    with contextlib.suppress(ConnectionResetError):
        await receive_all(peer)
