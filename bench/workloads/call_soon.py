"""call_soon: how fast callbacks go through the ready queue."""

import asyncio

from in_loop import InLoop

_BURST = 1000


def chain(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """Each callback schedules the next: an iteration of the loop for every one."""
    left = n

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            loop.stop()

    loop.call_soon(step)
    loop.run_forever()


def chain_with_arguments(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """The same, the count handed on as one of two arguments."""

    def step(left: int, left_alone: str) -> None:
        if left:
            loop.call_soon(step, left - 1, left_alone)
        else:
            loop.stop()

    loop.call_soon(step, n - 1, "text")
    loop.run_forever()


def burst(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """A thousand callbacks per iteration."""

    def nothing() -> None:
        pass

    def schedule(left: int) -> None:
        for _ in range(_BURST):
            loop.call_soon(nothing)
        if left > _BURST:
            loop.call_soon(schedule, left - _BURST)
        else:
            loop.call_soon(loop.stop)

    loop.call_soon(schedule, n)
    loop.run_forever()


WORKLOADS = (
    InLoop("call_soon/chain", chain),
    InLoop("call_soon/args", chain_with_arguments),
    InLoop("call_soon/burst", burst),
)
