"""Tasks: yielding, waking and creating them."""

import asyncio

from in_loop import InLoop


def sleep_zero(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """One task gives way n times."""

    async def main() -> None:
        for _ in range(n):
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def future_wake(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """One task awaits n futures, each given its result by a callback."""

    async def main() -> None:
        for _ in range(n):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

    loop.run_until_complete(main())


def create_task(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """One task creates and awaits n others that end at once."""

    async def nothing() -> None:
        pass

    async def main() -> None:
        for _ in range(n):
            await loop.create_task(nothing())

    loop.run_until_complete(main())


WORKLOADS = (
    InLoop("tasks/sleep(0)", sleep_zero),
    InLoop("tasks/future wake", future_wake),
    InLoop("tasks/create_task", create_task),
)
