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
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import processes
import verdicts
from processes import Outcome
from swap import STOCK

LOOPS = {"asyncio": STOCK, "ferroloop": "ferroloop:EventLoop"}

# Seconds. The slowest tests of the suite take a few on an idle machine.
PATIENCE = 60.0
# A listed test is known not to pass; one that would pass again shows it in a moment.
PATIENCE_WITH_LISTED = 5.0


@dataclass(frozen=True)
class Unit:
    """One TestCase class: the tests asked for, and those that exceptions.txt lists."""

    name: str
    tests: list[str]
    listed: list[str]

    @property
    def module(self) -> str:
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Result:
    unit: Unit
    baseline: Outcome
    subject: Outcome
    listed: Outcome


def main() -> int:
    options = parse()
    started = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        results = run(pool, LOOPS.get(options.loop, options.loop), options.only)
    complaints = [complaint for result in results for complaint in judge(result)]
    if not options.only:
        complaints += judge_list(results)
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


def run(pool: ThreadPoolExecutor, loop: str, only: list[str]) -> list[Result]:
    units = list_units(pool, only)
    baselines = [pool.submit(processes.run_tests, STOCK, unit.module, unit.tests, PATIENCE) for unit in units]
    subjects = [pool.submit(processes.run_tests, loop, unit.module, unit.tests, PATIENCE) for unit in units]
    listed = [pool.submit(run_each, loop, unit.module, unit.listed) for unit in units]
    return [
        Result(unit, *(future.result() for future in futures))
        for unit, *futures in zip(units, baselines, subjects, listed, strict=True)
    ]


def run_each(loop: str, module: str, tests: Iterable[str]) -> Outcome:
    """Run each test in a process of its own: a listed test may leave a state in which no other can pass."""
    outcome = Outcome()
    for test in tests:
        outcome.absorb(processes.run_tests(loop, module, [test], PATIENCE_WITH_LISTED))
    return outcome


def list_units(pool: ThreadPoolExecutor, only: list[str]) -> list[Unit]:
    """The selected classes. ValueError if `only` selects nothing."""
    selection = verdicts.Selection()
    excuses = verdicts.excuses()
    modules = [
        name
        for name in selection.modules
        if processes.exists(name) and (not only or any(item.partition(".")[0] == name for item in only))
    ]
    units = []
    for classes in pool.map(processes.list_classes, modules):
        for name, tests in classes.items():
            wanted = [test for test in tests if selection.wants(test)]
            if wanted and (not only or any(f"{name}.".startswith(f"{item}.") for item in only)):
                listed = [test for test in wanted if test in excuses]
                units.append(Unit(name, [test for test in wanted if test not in excuses], listed))
    if not units:
        raise ValueError(f"nothing selected by {only}")
    return units


def judge(result: Result) -> list[str]:
    """Every reason why the run fails that lies in this class."""
    name, baseline, subject = result.unit.name, result.baseline, result.subject
    complaints = []
    for test in result.unit.tests:
        verdict, detail = subject.verdicts[test]
        if baseline.verdicts[test][0] == "pass" and verdict != "pass":
            complaints.append(f"{verdict.upper()} {test}\n{detail}")
    for test in result.unit.listed:
        if result.listed.verdicts[test][0] == "pass":
            complaints.append(f"LISTED BUT PASSES {test}")
    if subject.stock_loops:
        complaints.append(f"ESCAPED {name} made loops of asyncio's own: {sorted(set(subject.stock_loops))}")
    if baseline.subject_loops and not subject.subject_loops:
        complaints.append(f"ESCAPED {name} makes loops, but none of ours")
    if subject.bad_exit and not baseline.bad_exit:
        complaints.append(f"BAD EXIT {name}: {subject.bad_exit}")
    return complaints


def judge_list(results: list[Result]) -> list[str]:
    there = {test for result in results for test in result.unit.listed}
    return [f"LISTED BUT NOT THERE {test}" for test in verdicts.excuses() if test not in there]


def report(results: list[Result], complaints: list[str], options: argparse.Namespace) -> None:
    if options.verbose:
        for result in results:
            loops = f"{result.subject.subject_loops} loops"
            print(f"{result.unit.name}: {counted([result.subject])}; {len(result.unit.listed)} listed; {loops}")
    for complaint in complaints:
        print(complaint)
    print(f"\nCPython {sys.version.split()[0]}'s own test_asyncio, {len(results)} classes")
    print(f"asyncio: {counted(result.baseline for result in results)}")
    print(f"{options.loop}: {counted(result.subject for result in results)}")
    print(f"{sum(len(result.unit.listed) for result in results)} more are listed in exceptions.txt")
    passed = sum(verdict == "pass" for result in results for verdict, _ in result.subject.verdicts.values())
    print(f"{passed} passed, {len(complaints)} failed")


def counted(outcomes: Iterable[Outcome]) -> str:
    counts = Counter(verdict for outcome in outcomes for verdict, _ in outcome.verdicts.values())
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())


if __name__ == "__main__":
    sys.exit(main())
