"""S53.5, S19.13: in which contextvars context protocol calls run."""

import asyncio
import contextvars
import socket
from typing import Any

from support.gates import since
from support.loops import Loop, Run
from support.net import connection, eventually, receive, send
from support.protocols import Recorder

name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="unset")


class Seeing(Recorder):
    """Remembers the value seen by each call; connection_made adds a mark."""

    def __init__(self) -> None:
        super().__init__(True)
        self.seen: dict[str, str] = {}

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.seen["made"] = name.get()
        name.set(name.get() + "+made")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.seen["data"] = name.get()

    def eof_received(self) -> bool:
        self.seen["eof"] = name.get()
        return True

    def resume_writing(self) -> None:
        super().resume_writing()
        self.seen["resume"] = name.get()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self.seen["lost"] = name.get()


def test_callers_context(loop: Loop, run: Run) -> None:
    """S53.5: on every Python the calls see what the caller had set, whoever makes the data flow."""

    async def main() -> None:
        name.set("caller")
        async with connection(Seeing) as (_, protocol, peer):
            await asyncio.sleep(0)
            name.set("later")
            peer.send(b"x")
            await eventually(lambda: protocol.data)
            assert protocol.seen["made"] == "caller"
            assert protocol.seen["data"].startswith("caller")

    run(main())


@since(3, 15)
def test_connection_has_one_context(loop: Loop, run: Run) -> None:
    """S53.5: a copy of the caller's, for all callbacks, even after re-registration elsewhere."""

    async def main() -> None:
        name.set("caller")
        async with connection(Seeing) as (transport, protocol, peer):
            name.set("later")
            transport.pause_reading()
            transport.resume_reading()
            transport.write(bytes(4 << 20))
            await send(peer, b"x")
            await receive(peer, 4 << 20)
            peer.shutdown(socket.SHUT_WR)
            await eventually(lambda: {"eof", "resume"} <= protocol.seen.keys())
            transport.close()
            await eventually(lambda: protocol.lost)
            assert protocol.seen.pop("made") == "caller"
            assert set(protocol.seen.values()) == {"caller+made"}
            assert name.get() == "later", "it is a copy"

    run(main())


@since(3, 15)
def test_server_context(loop: Loop, run: Run) -> None:
    """S19.13: the server's of creation time, a copy for each connection."""
    made: list[Seeing] = []

    def factory() -> Seeing:
        made.append(Seeing())
        made[-1].seen["factory"] = name.get()
        return made[-1]

    async def main() -> None:
        name.set("server")
        server = await loop.create_server(factory, "127.0.0.1", 0, start_serving=False)
        name.set("later")
        await server.start_serving()
        clients = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(2)]
        for client in clients:
            client.send(b"x")
        await eventually(lambda: len(made) == 2 and all(p.data for p in made))
        for protocol in made:
            protocol.transport.close()
        await eventually(lambda: all(p.lost for p in made))
        for protocol in made:
            assert protocol.seen == {
                "factory": "server",
                "made": "server",
                "data": "server+made",
                "lost": "server+made",
            }
        for client in clients:
            client.close()
        server.close()

    run(main())


def test_tasks_of_a_protocol(loop: Loop, run: Run) -> None:
    """S3.3: what a protocol starts inherits the context it is called in."""
    seen: list[str] = []

    class Starting(Seeing):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.task = loop.create_task(self.look())

        async def look(self) -> None:
            seen.append(name.get())

    async def main() -> None:
        name.set("caller")
        async with connection(Starting) as (_, protocol, peer):
            peer.send(b"x")
            await eventually(lambda: seen)
            assert seen == [protocol.seen["data"]]

    run(main())
