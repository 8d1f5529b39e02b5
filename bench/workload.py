"""What a workload is to the suite: a name, a unit, and a way to take samples, each in a fresh process."""

import random
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, Protocol

from process import SampleFailed

# In how many turns each loop takes a sample. What else a machine does comes and goes within tenths of a second: the
# shorter the turns, the more evenly it hits all loops.
_TURNS = 10

# Milliseconds a second: below a ten-thousandth of a core there is nothing to compare. Never 0, which has no ratios.
NO_CPU_TIME = 0.1

# Of the exchanges, in thousandths, whose latency is reported.
QUANTILES = {"p50": 500, "p99": 990, "p99.9": 999}


@dataclass(frozen=True)
class Sample:
    """One measurement: `value` in the workload's unit; `cpu` in seconds per operation, None where it says nothing.

    `latencies`: the seconds that the QUANTILES of the exchanges stayed below; empty where there are none.
    """

    value: float
    cpu: float | None = None
    latencies: tuple[float, ...] = ()


# What a process says of a part of a sample: the "seconds" that it took, and what came of them.
Part = dict[str, Any]
Outcome = Sample | SampleFailed | OSError


class Workload(Protocol):
    """One row of the results."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def less_is_better(self) -> bool: ...
    @property
    def overhead(self) -> float:
        """About how many seconds a sample takes besides those that are measured."""

    def takes(self, loop: str) -> bool:
        """Whether `loop` can do other than another one here."""

    def missing(self) -> str | None:
        """What is not installed and has to be, if anything."""

    def samples(self, loops: list[str], seconds: float) -> dict[str, Outcome]:
        """Measure each of the loops for about `seconds`."""


class ByTurns(ABC):
    """The processes of all loops are alive at a time, and one of them works."""

    @abstractmethod
    def parts(self, loop: str, seconds: float) -> Generator[Part]:
        """Measure for `seconds` at each step, in processes that last as long as the generator. Raises SampleFailed."""

    @abstractmethod
    def total(self, parts: list[Part]) -> Sample:
        """What the parts are together. Raises SampleFailed."""

    def samples(self, loops: list[str], seconds: float) -> dict[str, Outcome]:
        """One sample of each loop, all taken in the same stretch of time."""
        measured = {loop: self.parts(loop, seconds / _TURNS) for loop in loops}
        parts: dict[str, list[Part]] = {loop: [] for loop in loops}
        outcomes: dict[str, Outcome] = {}
        with ExitStack() as ending:
            for generator in measured.values():
                ending.enter_context(closing(generator))
            while unfinished := [loop for loop in loops if loop not in outcomes]:
                # In no order, so that none always comes after the same one.
                for loop in random.sample(unfinished, len(unfinished)):
                    try:
                        parts[loop].append(next(measured[loop]))
                        # A turn may be longer than it should: with many connections there is much to do at least.
                        if sum(part["seconds"] for part in parts[loop]) >= seconds:
                            outcomes[loop] = self.total(parts[loop])
                    except (SampleFailed, OSError) as failure:
                        outcomes[loop] = failure
        return {loop: outcomes[loop] for loop in loops}


def worked(parts: list[Part]) -> tuple[int, float, float]:
    """Operations, seconds and CPU seconds of all parts together."""
    return (
        sum(part["operations"] for part in parts),
        sum(part["seconds"] for part in parts),
        sum(part["cpu_seconds"] for part in parts),
    )


class OneByOne(ABC):
    """What is measured is no matter of time, or takes it all at once."""

    @abstractmethod
    def sample(self, loop: str, seconds: float) -> Sample:
        """Measure `loop` for about `seconds`. Raises SampleFailed."""

    def samples(self, loops: list[str], seconds: float) -> dict[str, Outcome]:
        """One sample of each loop, one after the other."""
        return {loop: self._outcome(loop, seconds) for loop in loops}

    def _outcome(self, loop: str, seconds: float) -> Outcome:
        try:
            return self.sample(loop, seconds)
        except (SampleFailed, OSError) as failure:
            return failure
