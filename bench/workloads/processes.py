"""Starting processes and waiting for their end: `/bin/true`, whose own work is next to nothing."""

import asyncio

from in_loop import InLoop

_AT_ONCE = 20
# A multiple of it: what follows the first count is too.
_FIRST_COUNT = 100


async def _run() -> None:
    process = await asyncio.create_subprocess_exec("/bin/true")
    assert await process.wait() == 0


def one_by_one(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """The next is started when the last has ended."""

    async def main() -> None:
        for _ in range(n):
            await _run()

    loop.run_until_complete(main())


def at_once(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """Twenty tasks that do the same."""

    async def some(count: int) -> None:
        for _ in range(count):
            await _run()

    async def main() -> None:
        await asyncio.gather(*(some(n // _AT_ONCE) for _ in range(_AT_ONCE)))

    loop.run_until_complete(main())


WORKLOADS = (
    InLoop("spawn/one by one", one_by_one, first_count=_FIRST_COUNT),
    InLoop(f"spawn/{_AT_ONCE} at once", at_once, first_count=_FIRST_COUNT),
)
