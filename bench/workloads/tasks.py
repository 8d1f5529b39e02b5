"""Tasks: yielding, waking and creating them, and what they hand to one another."""

import asyncio

from in_loop import InLoop

_TASKS = 1000


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


def sleep_zero_in_many(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """A thousand tasks give way in turn, n times together."""

    async def yielding() -> None:
        for _ in range(n // _TASKS):
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(yielding() for _ in range(_TASKS)))

    loop.run_until_complete(main())


def queue(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """Two tasks pass an item to and fro by two asyncio.Queues."""

    async def main() -> None:
        there, back = asyncio.Queue[int](1), asyncio.Queue[int](1)

        async def answer() -> None:
            for _ in range(n):
                await back.put(await there.get())

        task = loop.create_task(answer())
        for item in range(n):
            await there.put(item)
            await back.get()
        await task

    loop.run_until_complete(main())


def event(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """Two tasks wake each other by two asyncio.Events."""

    async def main() -> None:
        there, back = asyncio.Event(), asyncio.Event()

        async def answer() -> None:
            for _ in range(n):
                await there.wait()
                there.clear()
                back.set()

        task = loop.create_task(answer())
        for _ in range(n):
            there.set()
            await back.wait()
            back.clear()
        await task

    loop.run_until_complete(main())


def executor(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """One task has a thread of the default executor do nothing, n times."""

    async def main() -> None:
        for _ in range(n):
            await loop.run_in_executor(None, int)

    loop.run_until_complete(main())


WORKLOADS = (
    InLoop("tasks/sleep(0)", sleep_zero),
    InLoop("tasks/sleep(0) x 1000", sleep_zero_in_many),
    InLoop("tasks/future wake", future_wake),
    InLoop("tasks/create_task", create_task),
    InLoop("tasks/queue", queue),
    InLoop("tasks/event", event),
    InLoop("tasks/executor", executor),
)
