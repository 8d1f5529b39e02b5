"""asyncpg: a pool, transactions, COPY, LISTEN/NOTIFY, cancelled queries; all of it without and with TLS."""

import asyncio
import io
from typing import Any

import asyncpg
from common import client_tls, raises, run

ROWS = 20_000
BLOB = bytes(range(256)) * 40_000
CONNECTIONS = 8
# Longer than a program may take: whoever waits for its end instead of stopping it fails.
SLEEP = "SELECT pg_sleep(3600)"


async def main(places: dict[str, Any]) -> None:
    server = {"host": "localhost", **places["postgres"]}
    await everything({**server, "ssl": False}, encrypted=False)
    await everything({**server, "ssl": client_tls(places)}, encrypted=True)


async def everything(server: dict[str, Any], encrypted: bool) -> None:
    async with asyncpg.create_pool(min_size=2, max_size=CONNECTIONS, **server) as pool:
        assert await pool.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is encrypted
        await queries(pool)
        async with pool.acquire() as connection:
            await transactions(connection)
            await copy(connection)
        await cancelled(pool)
        await notifications(pool)


async def queries(pool: Any) -> None:
    """More tasks than connections; and a value of 10 MB there and back."""
    squares = await asyncio.gather(*(pool.fetchval("SELECT $1::int * $1", number) for number in range(500)))
    assert squares == [number * number for number in range(500)]
    assert pool.get_size() == CONNECTIONS
    assert await pool.fetchval("SELECT $1::bytea", BLOB) == BLOB


async def transactions(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE numbers (n int, text text)")
    with raises(asyncpg.DivisionByZeroError):
        async with connection.transaction():
            await connection.execute("INSERT INTO numbers VALUES (1, 'one')")
            await connection.execute("SELECT 1 / 0")
    assert await connection.fetchval("SELECT count(*) FROM numbers") == 0
    async with connection.transaction():
        read = [row["n"] async for row in connection.cursor("SELECT generate_series(1, 1000) AS n", prefetch=100)]
    assert read == list(range(1, 1001))


async def copy(connection: Any) -> None:
    rows = [(number, f"number {number}") for number in range(ROWS)]
    assert await connection.copy_records_to_table("numbers", records=rows) == f"COPY {ROWS}"
    out = io.BytesIO()
    await connection.copy_from_query("SELECT n, text FROM numbers ORDER BY n", output=out, format="csv")
    assert out.getvalue().decode().splitlines() == [f"{number},{text}" for number, text in rows]
    out.seek(0)
    await connection.execute("TRUNCATE numbers")
    assert await connection.copy_to_table("numbers", source=out, format="csv") == f"COPY {ROWS}"
    assert await connection.fetchval("SELECT sum(n) FROM numbers") == sum(range(ROWS))


async def cancelled(pool: Any) -> None:
    """By a timeout, and by cancelling the task: the server stops at once, and the connection goes on."""
    async with pool.acquire() as sleeping:
        with raises(TimeoutError):
            await sleeping.execute(SLEEP, timeout=0.2)
        await sleepers(pool, 0)
        query = asyncio.ensure_future(sleeping.execute(SLEEP))
        await sleepers(pool, 1)
        query.cancel()
        with raises(asyncio.CancelledError):
            await query
        await sleepers(pool, 0)
        assert await sleeping.fetchval("SELECT 7") == 7


async def sleepers(pool: Any, number: int) -> None:
    """Wait until the server runs so many of the queries that sleep."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = $1"
    while await pool.fetchval(query, SLEEP) != number:
        await asyncio.sleep(0.01)


async def notifications(pool: Any) -> None:
    received: asyncio.Queue[str] = asyncio.Queue()
    async with pool.acquire() as listening, pool.acquire() as speaking:

        def receive(connection: Any, process: int, channel: str, payload: str) -> None:
            received.put_nowait(payload)

        await listening.add_listener("news", receive)
        for number in range(100):
            await speaking.execute("SELECT pg_notify('news', $1)", str(number))
        assert [await received.get() for _ in range(100)] == [str(number) for number in range(100)]
        await listening.remove_listener("news", receive)


run(main)
