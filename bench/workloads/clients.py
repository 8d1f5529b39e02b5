"""Clients: requests to a server on the other core, the next when the last is answered."""

import asyncio

from in_loop import InLoop
from services import HTTP, POSTGRES, REDIS

_AT_ONCE = 16


def aiohttp_get(loop: asyncio.AbstractEventLoop, n: int, port: int) -> None:
    """Sixteen tasks of one aiohttp session get a fixed text."""
    # Each of the libraries is imported where it is used: not all need be installed.
    import aiohttp

    async def some(session: aiohttp.ClientSession, count: int) -> None:
        for _ in range(count):
            async with session.get(f"http://127.0.0.1:{port}/") as response:
                await response.read()

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(some(session, n // _AT_ONCE) for _ in range(_AT_ONCE)))

    loop.run_until_complete(main())


def redis_get(loop: asyncio.AbstractEventLoop, n: int, port: int) -> None:
    """One redis-py connection."""
    import redis.asyncio

    async def main() -> None:
        async with redis.asyncio.Redis(port=port, single_connection_client=True) as client:
            await client.set("key", b"value")
            for _ in range(n):
                await client.get("key")

    loop.run_until_complete(main())


def asyncpg_select(loop: asyncio.AbstractEventLoop, n: int, port: int) -> None:
    """One asyncpg connection, a prepared statement."""
    import asyncpg

    async def main() -> None:
        connection = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", database="postgres", ssl=False)
        statement = await connection.prepare("SELECT 1")
        for _ in range(n):
            await statement.fetchval()
        await connection.close()

    loop.run_until_complete(main())


WORKLOADS = (
    InLoop(f"client/aiohttp x {_AT_ONCE}", aiohttp_get, "req/s", service=HTTP, first_count=800, has_transports=True),
    InLoop("client/redis get", redis_get, "req/s", service=REDIS, has_transports=True),
    InLoop("client/asyncpg select", asyncpg_select, "req/s", service=POSTGRES, has_transports=True),
)
