"""Run CPython's own asyncio test suite with another event loop swapped in, and compare with stock asyncio.

Usage: python tests/conformance/run.py [--loop ferroloop] [-j N] [-v] [module or module.Class ...]

Every class runs twice, each time in a process of its own: on stock asyncio, which says what can be asked on this
machine and Python, and on the loop in question. The run fails if

- a test that asyncio passes does not pass, and exceptions.txt does not list it;
- a test that exceptions.txt lists passes, or is not there: the list only shrinks;
- a class that makes loops on asyncio made none of ours, or some of asyncio's own;
- a class's process crashes or cannot end after its last test, and on asyncio it can.
"""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import processes
import verdicts
from processes import Outcome
from swap import STOCK

LOOPS = {"asyncio": STOCK, "ferroloop": "ferroloop:EventLoop"}


@dataclass(frozen=True)
class Unit:
    """One TestCase class: what is started, judged and printed together."""

    name: str
    tests: tuple[str, ...]

    @property
    def module(self) -> str:
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Result:
    unit: Unit
    baseline: Outcome
    subject: Outcome


def main() -> int:
    options = parse()
    selection = verdicts.Selection()
    excuses = verdicts.excuses()
    started = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        units = list_units(pool, selection, options.only)
        subject = LOOPS.get(options.loop, options.loop)
        baselines = [pool.submit(processes.run_tests, STOCK, unit.module, unit.tests) for unit in units]
        subjects = [pool.submit(processes.run_tests, subject, unit.module, unit.tests) for unit in units]
        results = [
            Result(unit, baseline.result(), candidate.result())
            for unit, baseline, candidate in zip(units, baselines, subjects, strict=True)
        ]
    complaints = judge(results, excuses)
    report(results, complaints, options)
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if complaints else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--loop", default="ferroloop", help="asyncio, ferroloop or module:Class (default: ferroloop)")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("-v", "--verbose", action="store_true", help="print a line per class")
    parser.add_argument("only", nargs="*", help="modules or classes of test.test_asyncio (default: all selected)")
    return parser.parse_args()


def list_units(pool: ThreadPoolExecutor, selection: verdicts.Selection, only: list[str]) -> list[Unit]:
    """The selected classes. ValueError for a name in `only` that selects nothing."""
    named = {name.partition(".")[0] for name in only}
    modules = [name for name in selection.modules if processes.exists(name) and (not only or name in named)]
    units = []
    for classes in pool.map(processes.list_classes, modules):
        for name, tests in classes.items():
            asked = not only or any(name == item or name.startswith(item + ".") for item in only)
            wanted = tuple(test for test in tests if selection.wants(test))
            if asked and wanted:
                units.append(Unit(name, wanted))
    if not units:
        raise ValueError(f"no selected test in {only}")
    return units


def judge(results: list[Result], excuses: dict[str, str]) -> list[str]:
    """Every reason why the run fails."""
    complaints = []
    for result in results:
        complaints += judge_process(result)
        for test in result.unit.tests:
            complaints += judge_test(test, result, excuses)
    ran = {test for result in results for test in result.unit.tests}
    classes = {result.unit.name for result in results}
    for test in excuses:
        if test not in ran and test.rpartition(".")[0] in classes:
            complaints.append(f"LISTED BUT NOT THERE {test}")
    return complaints


def judge_process(result: Result) -> list[str]:
    """A class counts only if the loops its tests made were ours, and if it left the process sound."""
    complaints = []
    if result.subject.bad_exit and not result.baseline.bad_exit:
        complaints.append(f"BAD EXIT {result.unit.name}: {result.subject.bad_exit}")
    if result.subject.stock_loops:
        kinds = ", ".join(sorted(set(result.subject.stock_loops)))
        complaints.append(f"ESCAPED {result.unit.name} made loops of asyncio's own: {kinds}")
    if result.baseline.subject_loops and not result.subject.subject_loops:
        complaints.append(f"ESCAPED {result.unit.name} makes loops, but none of ours")
    return complaints


def judge_test(test: str, result: Result, excuses: dict[str, str]) -> list[str]:
    expected, _ = result.baseline.verdicts[test]
    verdict, detail = result.subject.verdicts[test]
    if test in excuses:
        return [f"LISTED BUT PASSES {test}"] if verdict == "pass" else []
    if expected == "pass" and verdict != "pass":
        return [f"{verdict.upper()} {test}\n{detail}"]
    return []


def report(results: list[Result], complaints: list[str], options: argparse.Namespace) -> None:
    if options.verbose:
        for result in results:
            counts = Counter(verdict for verdict, _ in result.subject.verdicts.values())
            loops = f"{result.subject.subject_loops} loops"
            print(f"{result.unit.name}: {', '.join(f'{n} {v}' for v, n in sorted(counts.items()))}; {loops}")
    for complaint in complaints:
        print(complaint)
    print(f"\nCPython {sys.version.split()[0]}'s own test_asyncio, {len(results)} classes")
    for name, outcomes in (
        ("asyncio", [result.baseline for result in results]),
        (options.loop, [result.subject for result in results]),
    ):
        counts = Counter(verdict for outcome in outcomes for verdict, _ in outcome.verdicts.values())
        print(f"{name}: {', '.join(f'{n} {verdict}' for verdict, n in counts.most_common())}")
    asked = sum(v == "pass" for result in results for v, _ in result.baseline.verdicts.values())
    print(f"{asked - len(complaints)} passed or excused, {len(complaints)} failed")


if __name__ == "__main__":
    sys.exit(main())
