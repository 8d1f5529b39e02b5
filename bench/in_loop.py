"""Workloads that need nothing but a loop: n operations, timed in a child process."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from process import answer, cores, python
from workload import Sample

_FIRST_COUNT = 1000


@dataclass(frozen=True)
class InLoop:
    """`operate(loop, n)` does n operations on a loop that is not running, and that `prepare(loop)` has seen."""

    name: str
    operate: Callable[[asyncio.AbstractEventLoop, int], None]
    unit: str = "/s"
    less_is_better: bool = False
    has_native: bool = False
    prepare: Callable[[asyncio.AbstractEventLoop], None] | None = None

    def sample(self, loop: str, seconds: float) -> Sample:
        """Run `in_loop_child.py`, which calls `measure` below."""
        command = python("in_loop_child.py", loop, self.name, str(seconds))
        result = json.loads(answer(command, core=cores()[0], timeout=60 + 10 * seconds))
        return Sample(value=result["operations"] / result["seconds"], cpu=result["cpu_seconds"] / result["operations"])

    def measure(self, loop: asyncio.AbstractEventLoop, seconds: float) -> dict[str, float]:
        """Raise n until the work takes as long as wanted; the last run counts, the shorter ones were its warm-up."""
        if self.prepare is not None:
            self.prepare(loop)
        count = _FIRST_COUNT
        while True:
            result = self._timed(loop, count)
            if result["seconds"] >= seconds / 2:
                return result
            # Aim at the wanted time, but trust a short run only so far.
            count *= max(2, min(20, int(seconds / result["seconds"])))

    def _timed(self, loop: asyncio.AbstractEventLoop, count: int) -> dict[str, float]:
        cpu, start = time.process_time(), time.perf_counter()
        self.operate(loop, count)
        elapsed = time.perf_counter() - start
        return {"operations": count, "seconds": elapsed, "cpu_seconds": time.process_time() - cpu}
