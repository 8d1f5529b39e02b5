"""Cancel a coroutine at every place where it waits."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from support.loops import Loop


def cancel_everywhere(
    loop: Loop,
    start: Callable[[], Coroutine[Any, Any, Any]],
    end: Callable[[Any], object],
    check: Callable[[], object],
    pause: float = 0,
) -> int:
    """Run the coroutine anew, cancelled after 0, 1, 2, ... iterations, until it ends by itself.

    `end` gets the result when the cancellation came too late, `check` is called after each round.
    `pause` seconds pass per iteration where the coroutine waits for another thread or the network.
    Returns how many iterations an uncancelled run took.
    """
    iterations = 0
    while True:
        task = loop.create_task(start())
        ended = loop.run_until_complete(_cancelled_after(task, iterations, end, pause))
        check()
        if ended:
            return iterations
        iterations += 1
        assert iterations < 1000


async def _cancelled_after(
    task: "asyncio.Task[Any]", iterations: int, end: Callable[[Any], object], pause: float
) -> bool:
    """Whether the task was over before it was cancelled."""
    for _ in range(iterations):
        await asyncio.sleep(pause)
    over = task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        end(await task)
    for _ in range(4):
        await asyncio.sleep(0)
    return over
