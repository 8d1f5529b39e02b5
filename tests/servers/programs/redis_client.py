"""redis-py: pipelines, publish and subscribe, blocking pops that are cancelled; all of it without and with TLS."""

import asyncio
from collections import Counter
from typing import Any

import redis.asyncio
from common import raises, run

BLOB = bytes(range(256)) * 20_000
TASKS = 20


async def main(places: dict[str, Any]) -> None:
    server = places["redis"]
    await everything(redis.asyncio.Redis(port=server["port"], host="localhost"))
    tls = {"ssl": True, "ssl_ca_certs": f"{places['keys']}/ca.pem", "ssl_check_hostname": True}
    await everything(redis.asyncio.Redis(port=server["tls_port"], host="localhost", **tls))


async def everything(client: Any) -> None:
    async with client:
        await client.flushall()
        await pipelines(client)
        await transactions(client)
        await publishing(client)
        await popping(client)


async def pipelines(client: Any) -> None:
    """Thousands of commands at once, and values of 5 MB."""
    async with client.pipeline(transaction=False) as pipeline:
        for number in range(5000):
            pipeline.set(f"key:{number}", number).get(f"key:{number}")
        replies = await pipeline.execute()
    assert replies[0::2] == [True] * 5000
    assert replies[1::2] == [b"%d" % number for number in range(5000)]
    await client.set("blob", BLOB)
    assert await asyncio.gather(*(client.get("blob") for _ in range(10))) == [BLOB] * 10


async def transactions(client: Any) -> None:
    """Of many tasks at once, each of which is disturbed in its first attempt and has to try again."""
    attempts: Counter[int] = Counter()

    async def increment(number: int) -> None:
        async def attempt(pipeline: Any) -> None:
            attempts[number] += 1
            value = int(await pipeline.get("counter") or 0)
            if attempts[number] == 1:
                await client.incr("counter")
            pipeline.multi()
            pipeline.set("counter", value + 1)

        await client.transaction(attempt, "counter")

    await asyncio.gather(*map(increment, range(TASKS)))
    assert await client.get("counter") == b"%d" % (2 * TASKS)
    assert len(attempts) == TASKS
    assert min(attempts.values()) > 1


async def publishing(client: Any) -> None:
    async with client.pubsub() as subscription:
        await subscription.subscribe("news")
        assert (await subscription.get_message(timeout=10))["type"] == "subscribe"
        for number in range(1000):
            await client.publish("news", number)
        heard = [await subscription.get_message(timeout=10) for _ in range(1000)]
        assert [message["data"] for message in heard] == [b"%d" % number for number in range(1000)]
        assert await subscription.get_message(timeout=0.05) is None


async def popping(client: Any) -> None:
    """A pop that is cancelled takes nothing, and leaves no answer behind for the next command."""
    for _ in range(10):
        popping = asyncio.ensure_future(client.blpop(["queue"]))
        await blocked(client, 1)
        popping.cancel()
        with raises(asyncio.CancelledError):
            await popping
        await blocked(client, 0)
    waiting = asyncio.ensure_future(client.blpop(["queue"], timeout=10))
    await client.rpush("queue", "first", "second")
    assert await waiting == (b"queue", b"first")
    assert await client.lrange("queue", 0, -1) == [b"second"]
    assert await client.ping()


async def blocked(client: Any, number: int) -> None:
    """Wait until as many clients wait: redis-py may miss a cancellation while it connects, on any loop."""
    while (await client.info("clients"))["blocked_clients"] != number:
        await asyncio.sleep(0.01)


run(main)
