"""All samples of a run, and what is made of them: medians, spread, ratios."""

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median

from workload import Sample, Workload

NATIVE = "native"
REFERENCE = "uvloop"
OURS = "ferroloop"


@dataclass
class Results:
    """Samples by workload and loop, in the order of the rounds; None where one failed."""

    workloads: list[Workload]
    loops: list[str]
    samples: dict[tuple[str, str], list[Sample | None]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, workload: Workload, loop: str, sample: Sample) -> None:
        """Record the sample of this round."""
        self.samples[workload.name, loop].append(sample)

    def fail(self, workload: Workload, loop: str, reason: str) -> None:
        """Record that there is no sample in this round."""
        self.samples[workload.name, loop].append(None)
        self.failures[workload.name, loop] = reason

    def values(self, workload: Workload, loop: str) -> list[float]:
        """What was measured, in the workload's unit."""
        return [sample.value for sample in self.samples[workload.name, loop] if sample]

    def cpu(self, workload: Workload, loop: str) -> float | None:
        """Median CPU seconds per operation."""
        times = [sample.cpu for sample in self.samples[workload.name, loop] if sample and sample.cpu is not None]
        return median(times) if times else None

    def ratio(self, workload: Workload, loop: str, other: str) -> float | None:
        """How much better `loop` is than `other`: above 1 is better, whatever the unit.

        The median of the ratios within each round: a machine that grows faster or slower meanwhile cancels out.
        """
        pairs = zip(self.samples[workload.name, loop], self.samples[workload.name, other], strict=False)
        ratios = [_better(workload, one.value, two.value) for one, two in pairs if one and two]
        return median(ratios) if ratios else None

    def cpu_ratio(self, workload: Workload, loop: str, other: str) -> float | None:
        """How many times the CPU time of `loop` the other one needs: above 1 is better."""
        pairs = zip(self.samples[workload.name, loop], self.samples[workload.name, other], strict=False)
        ratios = [two.cpu / one.cpu for one, two in pairs if one and two and one.cpu and two.cpu]
        return median(ratios) if ratios else None

    def best_peer(self, workload: Workload) -> str | None:
        """The other loop with the best median."""
        peers = [loop for loop in self.loops if loop not in (OURS, NATIVE) and self.values(workload, loop)]
        sign = -1 if workload.less_is_better else 1
        return max(peers, key=lambda loop: sign * median(self.values(workload, loop)), default=None)

    def known_ratios(self, loop: str) -> list[float]:
        """The ratios to the reference of all workloads that have one."""
        ratios = [self.ratio(workload, loop, REFERENCE) for workload in self.workloads]
        return [ratio for ratio in ratios if ratio]


def spread(values: list[float]) -> float:
    """Half the distance of the extremes, as a share of the median."""
    return (max(values) - min(values)) / 2 / median(values)


def _better(workload: Workload, one: float, two: float) -> float:
    return two / one if workload.less_is_better else one / two
