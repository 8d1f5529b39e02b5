"""Workloads that need nothing but a loop: n operations, timed in a child process."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from peers import FASTNET, NATIVE
from process import answer, cores, python
from services import Service
from workload import Sample


@dataclass(frozen=True)
class InLoop:
    """`operate(loop, n)` does n operations on a loop that is not running, and that `prepare(loop)` has seen.

    With a `service`, its port is the third argument.
    """

    name: str
    operate: Callable[..., None]
    unit: str = "/s"
    prepare: Callable[[asyncio.AbstractEventLoop], None] | None = None
    service: Service | None = None
    # Operations of the first run: few where each takes long.
    first_count: int = 1000
    # Whether there are connections.
    has_transports: bool = False
    overhead: float = 0.4
    less_is_better: bool = False

    def takes(self, loop: str) -> bool:
        """All loops."""
        return loop != NATIVE and (loop != FASTNET or self.has_transports)

    def missing(self) -> str | None:
        """What the service lacks."""
        return self.service.missing() if self.service else None

    def sample(self, loop: str, seconds: float) -> Sample:
        """Run `in_loop_child.py`, which calls `measure` below."""
        port = [str(self.service.port())] if self.service else []
        command = python("in_loop_child.py", loop, self.name, str(seconds), *port)
        result = json.loads(answer(command, core=cores()[0], timeout=60 + 10 * seconds))
        return Sample(value=result["operations"] / result["seconds"], cpu=result["cpu_seconds"] / result["operations"])

    def measure(self, loop: asyncio.AbstractEventLoop, seconds: float, *port: int) -> dict[str, float]:
        """Raise n until the work takes as long as wanted; the last run counts, those before were its warm-up.

        The first never counts: it imports the client's library.
        """
        if self.prepare is not None:
            self.prepare(loop)
        count = self.first_count
        result = self._timed(loop, count, *port)
        while True:
            # Aim at the wanted time, but trust a short run only so far.
            count *= max(1, min(20, int(seconds / result["seconds"])))
            result = self._timed(loop, count, *port)
            if result["seconds"] >= seconds / 2:
                return result

    def _timed(self, loop: asyncio.AbstractEventLoop, count: int, *port: int) -> dict[str, float]:
        cpu, start = time.process_time(), time.perf_counter()
        self.operate(loop, count, *port)
        elapsed = time.perf_counter() - start
        return {"operations": count, "seconds": elapsed, "cpu_seconds": time.process_time() - cpu}
