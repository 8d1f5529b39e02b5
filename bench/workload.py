"""What a workload is to the suite: a name, a unit, and a way to take one sample in a fresh process."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Sample:
    """One measurement: `value` in the workload's unit; `cpu` in seconds per operation, None where it says nothing."""

    value: float
    cpu: float | None


class Workload(Protocol):
    """One row of the results."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def less_is_better(self) -> bool: ...
    @property
    def has_native(self) -> bool:
        """Whether the minimal epoll server can take it too, under the loop name `native`."""

    def sample(self, loop: str, seconds: float) -> Sample:
        """Measure `loop` for about `seconds`. Raises SampleFailed."""
