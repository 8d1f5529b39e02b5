"""Single iterations of a loop, from outside."""

import asyncio
from collections.abc import Callable


def turn(loop: asyncio.AbstractEventLoop, times: int = 1) -> None:
    """Let the loop make whole iterations that never block: a stop before a run makes one (S2.9)."""
    for _ in range(times):
        loop.stop()
        loop.run_forever()


def until(loop: asyncio.AbstractEventLoop, done: Callable[..., bool], seconds: float = 10) -> None:
    """Run until the predicate holds; fail after `seconds`."""

    async def wait() -> None:
        async with asyncio.timeout(seconds):
            while not done():
                await asyncio.sleep(0.001)

    loop.run_until_complete(wait())
