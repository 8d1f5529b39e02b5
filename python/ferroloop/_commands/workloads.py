"""What `bench` measures: five things that asyncio programs do all the time, each needing nothing but a loop.

`WORKLOADS[name](loop, n)` does n operations on a loop that is not running.
"""

import asyncio
import itertools
from collections.abc import Callable
from typing import cast

_BATCH = 100
_CONNECTIONS = 8
_MESSAGE = bytes(1024)


def callbacks(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """Each callback schedules the next."""
    left = n

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            loop.stop()

    loop.call_soon(step)
    loop.run_forever()


def timeouts(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """A hundred timeouts per iteration, each cancelled before it is due, as most are."""

    async def main() -> None:
        for _ in itertools.repeat(None, max(1, n // _BATCH)):
            for handle in [loop.call_later(60, loop.stop) for _ in range(_BATCH)]:
                handle.cancel()
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def tasks(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """Tasks that give way once and end."""

    async def give_way() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        for _ in itertools.repeat(None, max(1, n // _BATCH)):
            await asyncio.gather(*(give_way() for _ in range(_BATCH)))

    loop.run_until_complete(main())


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class _Client(asyncio.Protocol):
    """Sends a message, and the next when the answer is complete."""

    def __init__(self, rounds: int, done: asyncio.Future[None]) -> None:
        self._left = rounds
        self._missing = 0
        self._done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._missing -= len(data)
        if not self._missing:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(exc)

    def _send(self) -> None:
        if not self._left:
            self._transport.close()
            return
        self._left -= 1
        self._missing = len(_MESSAGE)
        self._transport.write(_MESSAGE)


def tcp(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """Eight connections to an echo server of protocols, both ends on the loop."""

    async def main() -> None:
        server = await loop.create_server(_Echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        ends = [loop.create_future() for _ in range(_CONNECTIONS)]
        for end in ends:
            await loop.create_connection(lambda end=end: _Client(n // _CONNECTIONS, end), *address)  # type: ignore[misc]
        await asyncio.gather(*ends)
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def streams(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """The same with asyncio's streams."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def client(address: tuple[str, int]) -> None:
        reader, writer = await asyncio.open_connection(*address)
        for _ in range(n // _CONNECTIONS):
            writer.write(_MESSAGE)
            await reader.readexactly(len(_MESSAGE))
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        await asyncio.gather(*(client(address) for _ in range(_CONNECTIONS)))
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


WORKLOADS: dict[str, Callable[[asyncio.AbstractEventLoop, int], None]] = {
    "callbacks": callbacks,
    "timeouts": timeouts,
    "tasks": tasks,
    "tcp": tcp,
    "streams": streams,
}
