"""All samples of one or more runs, and what is made of them: medians, spread, ratios."""

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import geometric_mean, median

from peers import NATIVE, OURS, REFERENCE
from workload import Sample, Workload

# The run and the number of its round: samples of one round are neighbours in time.
Round = tuple[int, int]


@dataclass
class Results:
    """Samples by workload and loop, each with its round."""

    workloads: list[Workload]
    loops: list[str]
    samples: dict[tuple[str, str], dict[Round, Sample]] = field(default_factory=lambda: defaultdict(dict))
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    def values(self, workload: Workload, loop: str) -> list[float]:
        """What was measured, in the workload's unit."""
        return [sample.value for sample in self._of(workload, loop).values()]

    def value(self, workload: Workload, loop: str) -> float | None:
        """The median of what was measured."""
        values = self.values(workload, loop)
        return median(values) if values else None

    def cpu(self, workload: Workload, loop: str) -> float | None:
        """Median CPU seconds per operation."""
        times = [sample.cpu for sample in self._of(workload, loop).values() if sample.cpu is not None]
        return median(times) if times else None

    def latencies(self, workload: Workload, loop: str) -> list[float]:
        """Median of each quantile, in seconds; empty if the workload has no exchanges."""
        known = [sample.latencies for sample in self._of(workload, loop).values() if sample.latencies]
        return [median(quantile) for quantile in zip(*known, strict=True)]

    def ratio(self, workload: Workload, loop: str, other: str) -> float | None:
        """How much better `loop` is than `other`: above 1 is better, whatever the unit.

        The median of the ratios within each round: a machine that grows faster or slower meanwhile cancels out.
        """
        ratios = [_better(workload, one.value, two.value) for one, two in self._pairs(workload, loop, other)]
        return median(ratios) if ratios else None

    def cpu_ratio(self, workload: Workload, loop: str, other: str) -> float | None:
        """How many times the CPU time of `loop` the other one needs: above 1 is better."""
        ratios = [two.cpu / one.cpu for one, two in self._pairs(workload, loop, other) if one.cpu and two.cpu]
        return median(ratios) if ratios else None

    def peers(self) -> list[str]:
        """The loops that are compared with ours."""
        return [loop for loop in self.loops if loop not in (OURS, NATIVE)]

    def best_peer(self, workload: Workload) -> str | None:
        """The other loop with the best median."""
        known = {loop: value for loop in self.peers() if (value := self.value(workload, loop)) is not None}
        best = min if workload.less_is_better else max
        return best(known, key=known.__getitem__, default=None)

    def to_best(self, workload: Workload) -> float | None:
        """The ratio of ours to the best peer."""
        peer = self.best_peer(workload)
        return self.ratio(workload, OURS, peer) if peer else None

    def ratios_to_reference(self, loop: str) -> list[float]:
        """The ratios to the reference of all workloads that have one."""
        ratios = [self.ratio(workload, loop, REFERENCE) for workload in self.workloads]
        return [ratio for ratio in ratios if ratio]

    def mean_to_reference(self, loop: str) -> float | None:
        """Their geometric mean."""
        ratios = self.ratios_to_reference(loop)
        return geometric_mean(ratios) if ratios else None

    def mean_to_best(self) -> float | None:
        """The geometric mean of our ratios to the best peer of each workload."""
        ratios = [ratio for workload in self.workloads if (ratio := self.to_best(workload))]
        return geometric_mean(ratios) if ratios else None

    def _of(self, workload: Workload, loop: str) -> dict[Round, Sample]:
        return self.samples.get((workload.name, loop), {})

    def _pairs(self, workload: Workload, loop: str, other: str) -> list[tuple[Sample, Sample]]:
        ours, theirs = self._of(workload, loop), self._of(workload, other)
        return [(ours[number], theirs[number]) for number in ours if number in theirs]


def spread(values: list[float]) -> float:
    """Half the distance of the extremes, as a share of the median."""
    return (max(values) - min(values)) / 2 / median(values)


def _better(workload: Workload, one: float, two: float) -> float:
    return two / one if workload.less_is_better else one / two
