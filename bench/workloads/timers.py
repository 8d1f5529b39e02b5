"""call_later: timers that are cancelled, as most timeouts are, and timers that fire."""

import asyncio

from in_loop import InLoop

_BATCH = 100
_TIMEOUT = 60.0
_SPREAD = 0.01
_LONG = 3600.0


def set_and_cancel(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """A hundred timeouts per iteration, each cancelled at once."""

    def nothing() -> None:
        pass

    def schedule(left: int) -> None:
        for _ in range(_BATCH):
            loop.call_later(_TIMEOUT, nothing).cancel()
        if left > _BATCH:
            loop.call_soon(schedule, left - _BATCH)
        else:
            loop.stop()

    loop.call_soon(schedule, n)
    loop.run_forever()


def _beside(pending: int, name: str) -> InLoop:
    """Set and cancel while `pending` other timers wait, which take no part in it."""

    def prepare(loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(pending):
            loop.call_later(_LONG, int)

    return InLoop(f"timers/set and cancel beside {name}", set_and_cancel, prepare=prepare)


def fire(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """All timers are set before the loop runs, in no order, due within 10 ms of one another."""
    left = n

    def due() -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.stop()

    for i in range(n):
        loop.call_later(i * 7919 % 1000 / 1000 * _SPREAD, due)
    loop.run_forever()


WORKLOADS = (
    InLoop("timers/set and cancel", set_and_cancel),
    _beside(100_000, "100k"),
    _beside(1_000_000, "1M"),
    InLoop("timers/fire", fire),
)
