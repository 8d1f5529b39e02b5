"""An echo server whose callbacks raise at random: LOOP CONNECTIONS. Runs in a process of its own.

Lets waves of `churn_client.py` come over it and prints, as JSON, what they left behind.
"""

import asyncio
import ctypes
import gc
import importlib
import json
import os
import random
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import churn

_WAVES = 4
# The first half of the waves fills caches and buffers; what the second half adds is a leak.
_WARM_WAVES = 2
_BACKLOG = 1024
_MALLINFO2 = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class Boom(Exception):
    """Raised by the server's own callbacks."""


class Tally:
    """What happened, and weakly what should be gone."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.random = random.Random(0)
        self.made = self.lost = self.raised = self.reported = 0
        self.unexpected: list[str] = []
        self.alive: weakref.WeakSet[object] = weakref.WeakSet()

    def boom(self, probability: float) -> None:
        """Raise with this probability."""
        if self.random.random() < probability:
            self.raised += 1
            raise Boom

    def report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop's exception handler."""
        if isinstance(context.get("exception"), Boom):
            self.reported += 1
        else:
            self.unexpected.append(repr(context))


class Echo(asyncio.Protocol):
    """Echoes under flow control; raises where asyncio lets a connection survive it, and where it does not."""

    def __init__(self, tally: Tally, call_soon: Callable[..., object]) -> None:
        """One connection to come."""
        self.tally = tally
        self.call_soon = call_soon
        self.kind = b""
        tally.alive.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """An exception here is reported, no more."""
        self.transport = cast(asyncio.Transport, transport)
        self.tally.alive.add(transport)
        self.tally.made += 1
        self.tally.boom(0.1)

    def data_received(self, data: bytes) -> None:
        """An exception here is fatal for the connection (S16.9)."""
        self.kind = self.kind or data[:1]
        self.transport.write(data)
        self.call_soon(self.tally.boom, 0.3)
        if self.kind == churn.FAILING:
            self.tally.boom(0.5)

    def pause_writing(self) -> None:
        """An exception here is reported, no more (S17.5)."""
        self.transport.pause_reading()
        self.tally.boom(0.3)

    def resume_writing(self) -> None:
        """Like pause_writing."""
        self.transport.resume_reading()
        self.tally.boom(0.3)

    def connection_lost(self, exc: Exception | None) -> None:
        """Exactly once (S16.21); an exception here is reported, no more."""
        self.tally.lost += 1
        self.tally.boom(0.1)


async def wave(tally: Tally, connections: int, seed: int) -> None:
    """One server, one client process, until the last connection is lost."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Echo(tally, loop.call_soon), "127.0.0.1", 0, backlog=_BACKLOG)
    port = server.sockets[0].getsockname()[1]
    script = str(Path(__file__).with_name("churn_client.py"))
    client = subprocess.Popen([sys.executable, script, str(port), str(connections), str(seed)])
    while client.poll() is None:
        await asyncio.sleep(0.05)
    if client.returncode:
        tally.unexpected.append(f"the client of wave {seed} failed")
    async with asyncio.timeout(10):
        while tally.lost < tally.made:
            await asyncio.sleep(0.05)
    server.close()
    await server.wait_closed()


class _Mallinfo(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_size_t) for name in _MALLINFO2.split())


def allocated() -> int:
    """Bytes that malloc has given out, mallinfo(3). Resident memory would count its fragmentation too."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Mallinfo
    info = mallinfo()
    return int(info.uordblks + info.hblkhd)


def left() -> dict[str, int]:
    """What this process holds now."""
    gc.collect()
    return {
        "fds": len(os.listdir("/proc/self/fd")),
        "blocks": sys.getallocatedblocks(),
        "bytes": allocated(),
    }


def main(module: str, connections: int) -> None:
    """All waves on one loop."""
    tally = Tally()
    loop = importlib.import_module(module).new_event_loop()
    loop.set_exception_handler(tally.report)
    before = left()
    for number in range(_WAVES):
        if number == _WARM_WAVES:
            before = left()
        loop.run_until_complete(wave(tally, connections // _WAVES, number))
    after = left()
    loop.close()
    growth = {name: after[name] - before[name] for name in after}
    counts = {name: getattr(tally, name) for name in ("made", "lost", "raised", "reported", "unexpected")}
    print(json.dumps({**counts, "alive": len(tally.alive), "growth": growth}))


main(sys.argv[1], int(sys.argv[2]))
