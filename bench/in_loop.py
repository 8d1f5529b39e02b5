"""Workloads that need nothing but a loop: n operations, timed in a child process."""

import asyncio
import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

from peers import FASTNET, NATIVE
from process import child, cores, python
from services import Service
from workload import ByTurns, Part, Sample, worked


@dataclass(frozen=True)
class InLoop(ByTurns):
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

    def parts(self, loop: str, seconds: float) -> Generator[Part]:
        """Run `in_loop_child.py`, which calls `measure` below."""
        port = [str(self.service.port())] if self.service else []
        with child(python("in_loop_child.py", loop, self.name, *port), cores()[0]) as process:
            while True:
                yield json.loads(process.ask(str(seconds), timeout=60 + 10 * seconds))

    def total(self, parts: list[Part]) -> Sample:
        """The rate of all parts together."""
        operations, seconds, cpu = worked(parts)
        return Sample(value=operations / seconds, cpu=cpu / operations)

    def measure(self, loop: asyncio.AbstractEventLoop, lengths: Iterable[float], *port: int) -> Iterator[Part]:
        """For each length raise n until the work takes about as many seconds; then it counts.

        The first run never does: it imports the client's library.
        """
        if self.prepare is not None:
            self.prepare(loop)
        count = self.first_count
        self._timed(loop, count, *port)
        for seconds in lengths:
            while (part := self._timed(loop, count, *port))["seconds"] < seconds / 2:
                # Aim at the wanted time, but trust a short run only so far.
                count *= min(20, int(seconds / part["seconds"]))
            yield part

    def _timed(self, loop: asyncio.AbstractEventLoop, count: int, *port: int) -> Part:
        cpu, start = time.process_time(), time.perf_counter()
        self.operate(loop, count, *port)
        elapsed = time.perf_counter() - start
        return {"operations": count, "seconds": elapsed, "cpu_seconds": time.process_time() - cpu}
