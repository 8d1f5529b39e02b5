"""S19: the Server object."""

import asyncio
import socket
from asyncio.trsock import TransportSocket
from typing import Any

import pytest
from support.gates import before, ferroloop_only, since
from support.loops import Loop, Run
from support.net import eventually, receive_all
from support.protocols import Recorder
from support.serving import Served, serving
from support.turns import turn
from support.unclosed import unclosed


def test_repr_and_sockets(loop: Loop, run: Run) -> None:
    """S19.1, S19.2, S46.1, S46.4, S0.10."""

    async def main() -> None:
        async with serving() as served:
            server = served.server
            assert isinstance(server.sockets, tuple)
            assert [type(sock) for sock in server.sockets] == [TransportSocket]
            name = type(server).__name__
            assert repr(server) == f"<{name} sockets={server.sockets!r}>"
            server.close()
            assert server.sockets == ()
            assert repr(server) == f"<{name} sockets=()>" or "sockets=None" in repr(server)

    run(main())


def test_class(loop: Loop, run: Run) -> None:
    """S1.12, S19: get_loop."""

    async def main() -> None:
        async with serving() as served:
            assert isinstance(served.server, asyncio.AbstractServer)
            assert served.server.get_loop() is loop

    run(main())


def test_start_serving_is_idempotent(loop: Loop, run: Run) -> None:
    """S19.3."""

    async def main() -> None:
        async with serving(start_serving=False) as served:
            for _ in range(2):
                await served.server.start_serving()
                assert served.server.is_serving()
            await served.connect()
            assert len(served.protocols) == 1

    run(main())


def test_start_serving_after_close(loop: Loop, run: Run) -> None:
    """S19.4: whatever it raises, it does not serve."""

    async def main() -> None:
        async with serving(start_serving=False) as served:
            served.server.close()
            with pytest.raises((TypeError, RuntimeError)):
                await served.server.start_serving()

    run(main())


def test_close(loop: Loop, run: Run) -> None:
    """S19.5: connections live on."""

    async def main() -> None:
        async with serving() as served:
            client, protocol = await served.connect()
            address = served.server.sockets[0].getsockname()
            served.server.close()
            served.server.close()
            assert not served.server.is_serving()
            await asyncio.sleep(0)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            client.send(b"alive")
            await eventually(lambda: protocol.data == b"alive")

    run(main())


@since(3, 12, 1)
def test_wait_closed(loop: Loop, run: Run) -> None:
    """S19.8: closed and no connection left, in either order."""

    async def main() -> None:
        async with serving() as served:
            _, protocol = await served.connect()
            waiters = [asyncio.ensure_future(served.server.wait_closed()) for _ in range(2)]
            await asyncio.sleep(0.002)
            assert not any(waiter.done() for waiter in waiters)
            served.server.close()
            late = asyncio.ensure_future(served.server.wait_closed())
            await asyncio.sleep(0.002)
            assert not any(waiter.done() for waiter in (*waiters, late))
            protocol.transport.close()
            await asyncio.wait_for(asyncio.gather(*waiters, late), 5)

    run(main())


@since(3, 12, 1)
def test_wait_closed_waits_for_close(loop: Loop, run: Run) -> None:
    """S19.8: although there is no connection."""

    async def main() -> None:
        async with serving() as served:
            waiter = asyncio.ensure_future(served.server.wait_closed())
            await asyncio.sleep(0.002)
            assert not waiter.done()
            served.server.close()
            await asyncio.wait_for(waiter, 5)
            await served.server.wait_closed()

    run(main())


@before(3, 12)
def test_wait_closed_before(loop: Loop, run: Run) -> None:
    """S19.9: returns at once if already closed; else waits for both."""

    async def main() -> None:
        async with serving() as served:
            _, protocol = await served.connect()
            waiter = asyncio.ensure_future(served.server.wait_closed())
            await asyncio.sleep(0.002)
            assert not waiter.done()
            served.server.close()
            await asyncio.wait_for(served.server.wait_closed(), 5)
            assert not waiter.done()
            protocol.transport.close()
            await asyncio.wait_for(waiter, 5)

    run(main())


@since(3, 12, 1)
def test_cancelled_waiters(loop: Loop, run: Run) -> None:
    """S19.8: leave no trace."""

    async def main() -> None:
        async with serving() as served:
            waiter = asyncio.ensure_future(served.server.wait_closed())
            await asyncio.sleep(0)
            waiter.cancel()
            await asyncio.wait([waiter])
            served.server.close()
            await asyncio.wait_for(served.server.wait_closed(), 5)

    run(main())


@since(3, 12, 1)
@pytest.mark.parametrize("end", ["close", "abort", "peer"])
def test_counting_connections(loop: Loop, run: Run, end: str) -> None:
    """S19.10, S16.22: each until its connection_lost."""

    async def main() -> None:
        async with serving() as served:
            pairs = [await served.connect() for _ in range(3)]
            served.server.close()
            waiter = asyncio.ensure_future(served.server.wait_closed())
            for client, protocol in pairs:
                assert not waiter.done()
                client.close() if end == "peer" else getattr(protocol.transport, end)()
                await eventually(lambda protocol=protocol: protocol.lost)
            await asyncio.wait_for(waiter, 5)

    run(main())


@since(3, 13)
@pytest.mark.parametrize(("method", "complete"), [("close_clients", True), ("abort_clients", False)])
def test_ending_clients(loop: Loop, run: Run, method: str, complete: bool) -> None:
    """S19.11, S53.1."""
    data = bytes(8 << 20)

    async def main() -> None:
        async with serving() as served:
            pairs = [await served.connect() for _ in range(2)]
            for _, protocol in pairs:
                protocol.transport.write(data)
            getattr(served.server, method)()
            assert all(protocol.transport.is_closing() for _, protocol in pairs)
            assert served.server.is_serving()
            for client, protocol in pairs:
                assert (len(await receive_all(client)) == len(data)) is complete
                await eventually(lambda protocol=protocol: protocol.lost == [None])

    run(main())


@ferroloop_only("newer than this Python", "S19.11")
def test_ending_clients_everywhere(loop: Loop, run: Run) -> None:
    """S19.11: provided on all Pythons."""

    async def main() -> None:
        async with serving() as served:
            _, first = await served.connect()
            served.server.close_clients()
            await eventually(lambda: first.lost == [None])
            _, second = await served.connect()
            served.server.abort_clients()
            await eventually(lambda: second.lost == [None])

    run(main())


def test_async_with(loop: Loop, run: Run) -> None:
    """S19.12."""

    async def main() -> None:
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        async with server as same:
            assert same is server
            assert server.is_serving()
        assert server.sockets == ()

    run(main())


@since(3, 13)
@pytest.mark.parametrize("is_cycle", [False, True])
def test_dropped_transports(loop: Loop, run: Run, is_cycle: bool) -> None:
    """S19.10, S16.26: held weakly, so that one dropped without a close is noticed; and no longer counted, though the
    collector ends weak references before it finalises.
    """

    class Forgetful(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.pause_reading()
            self.transport = transport if is_cycle else None

    async def main() -> None:
        server = await loop.create_server(Forgetful, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        with unclosed("unclosed transport <"):
            await asyncio.sleep(0.01)
        server.close()
        await asyncio.wait_for(server.wait_closed(), 5)
        client.close()

    run(main())


@ferroloop_only("the connection stays open, and the assertion that failed is not told", "S20.7")
def test_closed_while_accepting(loop: Loop, run: Run) -> None:
    """S19.10, S20.7: no connection is made of what was accepted then, and nobody waits for it."""

    async def main() -> None:
        reports: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _loop, context: reports.append(context))
        loop.set_debug(True)

        def closing() -> Recorder:
            server.close()
            return protocol

        protocol = Recorder()
        server = await loop.create_server(closing, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        client.setblocking(False)
        with client:
            assert await receive_all(client) == b""
        await asyncio.wait_for(server.wait_closed(), 5)
        assert protocol.transport is None
        assert [str(report["exception"]) for report in reports] == [f"server {server!r} is closed"]

    run(main())


def test_closing_the_loop_with_a_server(loop: Loop) -> None:
    """S2.22, S19.5: the listening socket is still the server's to close."""

    async def main() -> Any:
        return await loop.create_server(Recorder, "127.0.0.1", 0)

    server = loop.run_until_complete(main())
    loop.close()
    server.close()
    assert server.sockets == ()


def test_backlog_one_accepts_all(loop: Loop, run: Run) -> None:
    """S19.3, S20.1: one or two per event, but all of them in the end."""

    async def main() -> None:
        async with serving(backlog=1) as served:
            for _ in range(5):
                await served.connect()
            assert len(served.protocols) == 5

    run(main())


@ferroloop_only("takes none if it is negative, on older Pythons if it is 0, and polls for ever", "S20.1")
@pytest.mark.parametrize("backlog", [0, -1])
def test_backlog_zero_accepts_too(loop: Loop, run: Run, backlog: int) -> None:
    """S20.1: so does a negative one, which listen(2) reads as zero."""

    async def main() -> None:
        async with serving(backlog=backlog) as served:
            await served.connect()
            assert len(served.protocols) == 1

    run(main())


def test_no_task_is_needed_to_serve(loop: Loop) -> None:
    """S19.3: the server works in any later run of the loop."""
    served = Served()
    served.server = loop.run_until_complete(loop.create_server(served.factory, "127.0.0.1", 0))
    loop.run_until_complete(served.connect())
    served.server.close()
    served.protocols[0].transport.abort()
    turn(loop, 2)
    served.clients[0].close()
