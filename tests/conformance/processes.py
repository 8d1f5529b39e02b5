"""Run worker.py in fresh processes and read back what it reported, whatever end it came to."""

import importlib
import json
import pkgutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUITE = "test.test_asyncio"
WORKER = Path(__file__).with_name("worker.py")

Records = list[list[Any]]


@dataclass
class Outcome:
    """What became of some tests on one loop.

    `verdicts` maps test ids to (verdict, detail), `bad_exit` is what was printed if all tests ended but the process
    then crashed or could not end, and the rest are the loops made and the time it took.
    """

    verdicts: dict[str, tuple[str, str]] = field(default_factory=dict)
    subject_loops: int = 0
    stock_loops: list[str] = field(default_factory=list)
    bad_exit: str = ""
    seconds: float = 0.0

    @classmethod
    def of(cls, parts: Iterable["Outcome"]) -> "Outcome":
        """One outcome of several runs."""
        whole = cls()
        for part in parts:
            whole.absorb(part)
        return whole

    def absorb(self, other: "Outcome") -> None:
        self.verdicts |= other.verdicts
        self.subject_loops += other.subject_loops
        self.stock_loops += other.stock_loops
        self.bad_exit += other.bad_exit
        self.seconds += other.seconds


def modules() -> list[str]:
    """The test modules of the running Python's suite."""
    suite = importlib.import_module(SUITE)
    return sorted(module.name for module in pkgutil.iter_modules(suite.__path__) if module.name.startswith("test_"))


def list_classes(chosen: Iterable[str]) -> dict[str, list[str]]:
    """The tests of some modules of the suite, by class."""
    records, process = _work(list=list(chosen))
    if process.returncode != 0:
        raise RuntimeError(f"cannot list the suite:\n{process.stderr}")
    classes: dict[str, list[str]] = defaultdict(list)
    for _, test in records:
        classes[test.rpartition(".")[0]].append(test)
    return classes


def run_tests(loop: str, module: str, tests: Iterable[str], patience: float) -> Outcome:
    """Run tests of one class in a process of their own, and in further ones what a hang or a crash kept from running.

    A test that takes longer than `patience` seconds hangs.
    """
    started = time.monotonic()
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
    outcome.seconds = time.monotonic() - started
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
