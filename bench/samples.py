"""Samples on disk, a line of JSON for each: a run that was interrupted goes on, and runs can be put together."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from peers import NATIVE, PEERS, PORTABLE
from results import Results
from workload import Sample, Workload

# A loop that failed so often at a workload is not asked again.
_PATIENCE = 2


@dataclass
class Run:
    """The samples of one file."""

    path: Path
    conditions: list[str] = field(default_factory=list)
    samples: dict[tuple[str, str, int], Sample] = field(default_factory=dict)
    failures: dict[tuple[str, str, int], str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Run":
        """What the file has; nothing if there is none."""
        run = cls(path)
        for line in path.read_text().splitlines() if path.exists() else ():
            run._enter(json.loads(line))
        return run

    def describe(self, conditions: list[str]) -> None:
        """Note where and how the samples that follow are taken."""
        self._append({"conditions": conditions})

    def add(self, workload: Workload, loop: str, number: int, sample: Sample) -> None:
        """Record the sample of a round."""
        self._append({"workload": workload.name, "loop": loop, "round": number, **asdict(sample)})

    def fail(self, workload: Workload, loop: str, number: int, reason: str) -> None:
        """Record that there is none."""
        self._append({"workload": workload.name, "loop": loop, "round": number, "failure": reason})

    def needs(self, workload: Workload, loop: str, number: int) -> bool:
        """Whether the sample is still to be taken."""
        failed = sum(key[:2] == (workload.name, loop) for key in self.failures)
        key = (workload.name, loop, number)
        return key not in self.samples and key not in self.failures and failed < _PATIENCE

    def _append(self, record: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self._enter(json.loads(json.dumps(record)))

    def _enter(self, record: dict[str, Any]) -> None:
        if "conditions" in record:
            self.conditions += [line for line in record["conditions"] if line not in self.conditions]
            return
        key = (record["workload"], record["loop"], record["round"])
        if "failure" in record:
            self.failures[key] = record["failure"]
        else:
            self.samples[key] = Sample(record["value"], record["cpu"], tuple(record["latencies"]))


def merged(runs: Iterable[Run], workloads: Iterable[Workload]) -> Results:
    """The results of several runs, each round with those of its own run; only workloads and loops that were run."""
    runs = list(runs)
    keys = {key[:2] for run in runs for key in [*run.samples, *run.failures]}
    names, loops = {name for name, _ in keys}, {loop for _, loop in keys}
    results = Results(
        [workload for workload in workloads if workload.name in names],
        [loop for loop in (*PEERS, PORTABLE, NATIVE) if loop in loops],
    )
    for index, run in enumerate(runs):
        for (name, loop, number), sample in run.samples.items():
            results.samples[name, loop][index, number] = sample
        for (name, loop, _), reason in run.failures.items():
            results.failures[name, loop] = reason
    return results
