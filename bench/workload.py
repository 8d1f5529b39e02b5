"""What a workload is to the suite: a name, a unit, and a way to take one sample in a fresh process."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Sample:
    """One measurement: `value` in the workload's unit; `cpu` in seconds per operation, None where it says nothing.

    `latencies`: the seconds that 50, 99 and 99.9 % of the exchanges stayed below; empty where there are none.
    """

    value: float
    cpu: float | None = None
    latencies: tuple[float, ...] = ()


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

    def sample(self, loop: str, seconds: float) -> Sample:
        """Measure `loop` for about `seconds`. Raises SampleFailed."""
