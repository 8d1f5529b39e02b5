"""websockets: a server and 1,000 clients that all talk to it at once; once in a while one goes without a word."""

import asyncio
import os
import resource
from typing import Any

import websockets
from common import run
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

CLIENTS = 1000
ROUNDS = 5
# Clients that shake hands at the same time.
ARRIVING = 100
# Two descriptors for a client, and some of the interpreter's own.
DESCRIPTORS = 2 * CLIENTS + 200


async def main(places: dict[str, Any]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    present: set[ServerConnection] = set()

    async def echo(connection: ServerConnection) -> None:
        present.add(connection)
        try:
            async for message in connection:
                await connection.send(message)
        except websockets.ConnectionClosedError:
            pass
        finally:
            present.discard(connection)

    async with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        arriving, all_here = asyncio.Semaphore(ARRIVING), asyncio.Barrier(CLIENTS)

        async def client(number: int) -> None:
            async with arriving:
                connection = await connect(url, open_timeout=60)
            await all_here.wait()
            assert len(present) == CLIENTS
            for turn in range(ROUNDS):
                text = f"{number}:{turn}"
                await connection.send(text)
                assert await connection.recv() == text
            if number % 100 == 0:
                blob = os.urandom(1_000_000)
                await connection.send(blob)
                assert await connection.recv() == blob
            await all_here.wait()
            if number % 10 == 0:
                connection.transport.abort()
            else:
                await connection.close()

        await asyncio.gather(*map(client, range(CLIENTS)))
        while present:
            await asyncio.sleep(0.01)


run(main)
