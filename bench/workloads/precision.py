"""Short sleeps: how much longer they take than they should."""

import asyncio
import json
import time
from dataclasses import dataclass
from statistics import median

from peers import FASTNET, NATIVE
from process import SampleFailed, answer, cores, python
from workload import Sample

# Timers may use up the clock's resolution; this is far more.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class ShortSleep:
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

    def sample(self, loop: str, seconds: float) -> Sample:
        """Run `in_loop_child.py`, which calls `measure` below."""
        command = python("in_loop_child.py", loop, self.name, str(seconds))
        result = json.loads(answer(command, core=cores()[0], timeout=60 + seconds))
        if result["early"]:
            raise SampleFailed(f"{result['early']} of {result['count']} sleeps end early")
        return Sample(result["late"] * 1e6)

    def measure(self, loop: asyncio.AbstractEventLoop, seconds: float) -> dict[str, float]:
        """Sleep again and again."""
        excess = loop.run_until_complete(self._excess(seconds))
        early = sum(one < -_TOLERANCE for one in excess)
        return {"late": median(excess), "early": early, "count": len(excess)}

    async def _excess(self, seconds: float) -> list[float]:
        excess, end = [], time.monotonic() + seconds
        while (start := time.monotonic()) < end:
            await asyncio.sleep(self.delay)
            excess.append(time.monotonic() - start - self.delay)
        return excess


WORKLOADS = (ShortSleep("sleep/200 µs, late by", 200e-6),)
