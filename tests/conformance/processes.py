"""Run worker.py in fresh processes and read back what it reported, whatever end it came to."""

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")

Records = list[list[Any]]


@dataclass
class Outcome:
    """What became of some tests on one loop.

    `verdicts` maps test ids to (verdict, detail), `bad_exit` is what was printed if all tests ended but the process
    then crashed or could not end, and the rest are the loops made.
    """

    verdicts: dict[str, tuple[str, str]] = field(default_factory=dict)
    subject_loops: int = 0
    stock_loops: list[str] = field(default_factory=list)
    bad_exit: str = ""

    def absorb(self, other: "Outcome") -> None:
        self.verdicts |= other.verdicts
        self.subject_loops += other.subject_loops
        self.stock_loops += other.stock_loops
        self.bad_exit += other.bad_exit


def exists(module: str) -> bool:
    """Whether the running Python's suite has the module."""
    return importlib.util.find_spec(f"test.test_asyncio.{module}") is not None


def list_classes(module: str) -> dict[str, list[str]]:
    """The tests of a suite module, by class."""
    records, process = _work(loop="asyncio", module=module, tests=None, patience=None)
    if process.returncode != 0:
        raise RuntimeError(f"cannot list {module}:\n{process.stderr}")
    classes: dict[str, list[str]] = defaultdict(list)
    for _, test in records:
        classes[test.rpartition(".")[0]].append(test)
    return classes


def run_tests(loop: str, module: str, tests: Iterable[str], patience: float) -> Outcome:
    """Run tests of one class in a process of their own, and in further ones what a hang or a crash kept from running.

    A test that takes longer than `patience` seconds hangs.
    """
    outcome = Outcome()
    remaining = list(tests)
    while remaining:
        records, process = _work(loop=loop, module=module, tests=remaining, patience=patience)
        outcome.absorb(_read(records, process))
        missing = [test for test in remaining if test not in outcome.verdicts]
        if len(missing) == len(remaining):  # a class or module fixture failed, or the module cannot be imported
            reason = process.stderr + "".join(detail for _, detail in outcome.verdicts.values())
            outcome.verdicts |= {test: ("error", reason) for test in missing}
            break
        remaining = missing
    return outcome


def _work(**job: Any) -> tuple[Records, subprocess.CompletedProcess[str]]:
    with tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
        report = Path(scratch) / "report"
        process = subprocess.run(
            [sys.executable, str(WORKER)],
            input=json.dumps(job | {"report": str(report)}),
            capture_output=True,
            text=True,
            errors="replace",
            cwd=scratch,
            check=False,
        )
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
        return [json.loads(line) for line in lines], process


def _read(records: Records, process: subprocess.CompletedProcess[str]) -> Outcome:
    outcome = Outcome()
    started = None
    for kind, *rest in records:
        if kind == "start":
            started = rest[0]
        elif kind == "end":
            name, verdict, detail = rest
            outcome.verdicts[name] = (verdict, detail)
            started = None
        elif kind == "loops":
            outcome.subject_loops, outcome.stock_loops = rest
    ending = f"exit status {process.returncode}\n{process.stderr}"
    if started is not None:
        verdict = "hang" if "Timeout (" in process.stderr else "crash"
        outcome.verdicts[started] = (verdict, ending)
    elif process.returncode != 0:
        outcome.bad_exit = ending
    return outcome
