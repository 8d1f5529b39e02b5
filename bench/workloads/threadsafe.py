"""call_soon_threadsafe, from the loop's own thread and from another."""

import asyncio
import threading

from in_loop import InLoop


def same_thread(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """Each callback schedules the next."""
    left = n

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon_threadsafe(step)
        else:
            loop.stop()

    loop.call_soon_threadsafe(step)
    loop.run_forever()


def other_thread(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """One thread schedules all, as fast as it can, while the loop runs them."""
    left = n

    def step() -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.stop()

    def schedule() -> None:
        for _ in range(n):
            loop.call_soon_threadsafe(step)

    thread = threading.Thread(target=schedule)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()


WORKLOADS = (
    InLoop("call_soon_threadsafe/same thread", same_thread),
    InLoop("call_soon_threadsafe/other thread", other_thread),
)
