"""Signal round trips: a handler of the loop sends the next signal."""

import asyncio
import os
import signal

from in_loop import InLoop


def round_trips(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """n signals of the process to itself, each sent when the one before was handled."""
    left, me = n, os.getpid()

    def handle() -> None:
        nonlocal left
        left -= 1
        if left:
            os.kill(me, signal.SIGUSR1)
        else:
            loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, handle)
    loop.call_soon(os.kill, me, signal.SIGUSR1)
    loop.run_forever()


WORKLOADS = (InLoop("signals/round trip", round_trips),)
