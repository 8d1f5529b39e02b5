"""S19.6 and S19.7: `Server.serve_forever`."""

import asyncio
import re

import pytest
from support.gates import before, since
from support.loops import Loop, Run
from support.net import eventually, receive_all
from support.serving import serving


def test_serve_forever(loop: Loop, run: Run) -> None:
    """S19.6, S19.7: starts, waits; cancelling it closes the server."""

    async def main() -> None:
        async with serving(start_serving=False) as served:
            task = asyncio.ensure_future(served.server.serve_forever())
            await asyncio.sleep(0.001)
            assert served.server.is_serving()
            _, protocol = await served.connect()
            protocol.transport.abort()
            await eventually(lambda: protocol.lost)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert served.server.sockets == ()

    run(main())


def test_serve_forever_twice(loop: Loop, run: Run) -> None:
    """S19.6."""

    async def main() -> None:
        async with serving() as served:
            server = served.server
            task = asyncio.ensure_future(server.serve_forever())
            await asyncio.sleep(0)
            text = re.escape(f"server {server!r} is already being awaited on serve_forever()")
            with pytest.raises(RuntimeError, match=f"^{text}$"):
                await server.serve_forever()
            task.cancel()
            await asyncio.wait([task])

    run(main())


def test_serve_forever_on_a_closed_server(loop: Loop, run: Run) -> None:
    """S19.6."""

    async def main() -> None:
        async with serving() as served:
            served.server.close()
            text = re.escape(f"server {served.server!r} is closed")
            with pytest.raises(RuntimeError, match=f"^{text}$"):
                await served.server.serve_forever()

    run(main())


def test_close_ends_serve_forever(loop: Loop, run: Run) -> None:
    """S19.5, S19.7."""

    async def main() -> None:
        async with serving() as served:
            task = asyncio.ensure_future(served.server.serve_forever())
            await asyncio.sleep(0)
            served.server.close()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 5)

    run(main())


@pytest.mark.parametrize("how", ["cancel", "close"])
@since(3, 14)
def test_end_of_serve_forever_closes_clients(loop: Loop, run: Run, how: str) -> None:
    """S19.7, S53.2."""

    async def main() -> None:
        async with serving() as served:
            client, protocol = await served.connect()
            task = asyncio.ensure_future(served.server.serve_forever())
            await asyncio.sleep(0)
            task.cancel() if how == "cancel" else served.server.close()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 5)
            assert protocol.lost == [None]
            assert await receive_all(client) == b""

    run(main())


@before(3, 14)
def test_end_of_serve_forever_leaves_clients(loop: Loop, run: Run) -> None:
    """S19.7, S19.9: with close() from outside, before 3.12 without waiting."""

    async def main() -> None:
        async with serving() as served:
            _, protocol = await served.connect()
            task = asyncio.ensure_future(served.server.serve_forever())
            await asyncio.sleep(0)
            served.server.close()
            await asyncio.sleep(0.005)
            assert protocol.lost == []
            protocol.transport.abort()
            await asyncio.wait([task])

    run(main())
