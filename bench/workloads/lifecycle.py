"""What a loop costs that does nothing."""

import asyncio

from in_loop import InLoop


def create_and_close(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """New loops of the same class, closed unused."""
    for _ in range(n):
        type(loop)().close()


WORKLOADS = (InLoop("loop/create and close", create_and_close),)
