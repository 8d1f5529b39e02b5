"""Short sleeps: how much longer they take than they should."""

import asyncio
import json
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from peers import FASTNET, NATIVE
from process import SampleFailed, child, cores, python
from workload import ByTurns, Part, Sample

# Timers may use up the clock's resolution; this is far more.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class ShortSleep(ByTurns):
    """The median of how late `asyncio.sleep` ends. A loop that ends one early has failed."""

    name: str
    delay: float
    unit: str = "µs"
    less_is_better: bool = True
    overhead: float = 0.3

    def takes(self, loop: str) -> bool:
        """All loops."""
        return loop not in (NATIVE, FASTNET)

    def missing(self) -> str | None:
        """Nothing."""
        return None

    def parts(self, loop: str, seconds: float) -> Generator[Part]:
        """Run `in_loop_child.py`, which calls `measure` below."""
        with child(python("in_loop_child.py", loop, self.name), cores()[0]) as process:
            while True:
                yield json.loads(process.ask(str(seconds), timeout=60 + seconds))

    def total(self, parts: list[Part]) -> Sample:
        """The median of the parts' medians."""
        early, count = (sum(part[what] for part in parts) for what in ("early", "count"))
        if early:
            raise SampleFailed(f"{early} of {count} sleeps end early")
        return Sample(median(part["late"] for part in parts) * 1e6)

    def measure(self, loop: asyncio.AbstractEventLoop, lengths: Iterable[float]) -> Iterator[Part]:
        """Sleep again and again."""
        for seconds in lengths:
            excess = loop.run_until_complete(self._excess(seconds))
            early = sum(one < -_TOLERANCE for one in excess)
            yield {"seconds": seconds, "late": median(excess), "early": early, "count": len(excess)}

    async def _excess(self, seconds: float) -> list[float]:
        excess, end = [], time.monotonic() + seconds
        while (start := time.monotonic()) < end:
            await asyncio.sleep(self.delay)
            excess.append(time.monotonic() - start - self.delay)
        return excess


WORKLOADS = (ShortSleep("sleep/200 µs, late by", 200e-6),)
