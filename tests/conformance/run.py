"""Run CPython's own asyncio test suite with another event loop swapped in, and compare with stock asyncio.

Usage: python tests/conformance/run.py [--loop ferroloop] [-j N] [-v] [module or module.Class ...]

Every class runs on the loop in question, in a process of its own. Stock asyncio says what can be asked on this machine
and Python: it is given what the loop did not pass, and whole classes that made no loop or crashed at their end. The run
fails if

- a test that asyncio passes does not pass, and exceptions.txt does not list it;
- a test that exceptions.txt lists passes: the list only shrinks;
- a class that makes loops on asyncio made none of ours, or some of asyncio's own;
- a class's process crashes or cannot end after its last test, and on asyncio it can.

A listed test that the running Python's suite does not have is no failure, because suites change from one patch release
to the next: such a line excuses nothing. It is printed.
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
# Most tests that take long wait for the clock and not for a core.
JOBS_PER_CORE = 2


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
    subject: Outcome
    baseline: Outcome
    listed: Outcome


def main() -> int:
    options = parse()
    started = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        results = run(pool, LOOPS.get(options.loop, options.loop), list_units(options.only))
    complaints = [complaint for result in results for complaint in judge(result)]
    report(results, complaints, options)
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if complaints else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--loop", default="ferroloop", help="asyncio, ferroloop or module:Class (default: ferroloop)")
    jobs = JOBS_PER_CORE * (os.cpu_count() or 1)
    parser.add_argument("-j", "--jobs", type=int, default=jobs, help=f"processes at a time (default: {jobs})")
    parser.add_argument("-v", "--verbose", action="store_true", help="print a line per class")
    parser.add_argument("only", nargs="*", help="modules or classes of test.test_asyncio (default: all selected)")
    return parser.parse_args()


def run(pool: ThreadPoolExecutor, loop: str, units: list[Unit]) -> list[Result]:
    compared = [pool.submit(compare, loop, unit) for unit in units]
    # A listed test may leave a state in which no other can pass: each has a process of its own.
    listed = [
        [pool.submit(processes.run_tests, loop, unit.module, [test], PATIENCE_WITH_LISTED) for test in unit.listed]
        for unit in units
    ]
    return [
        Result(unit, *pair.result(), Outcome.of(test.result() for test in tests))
        for unit, pair, tests in zip(units, compared, listed, strict=True)
    ]


def compare(loop: str, unit: Unit) -> tuple[Outcome, Outcome]:
    """The unit's outcome on the loop, and on asyncio that of what needs a comparison."""
    subject = processes.run_tests(loop, unit.module, unit.tests, PATIENCE)
    if subject.bad_exit or not subject.subject_loops:
        doubtful = unit.tests
    else:
        doubtful = [test for test in unit.tests if subject.verdicts[test][0] != "pass"]
    return subject, processes.run_tests(STOCK, unit.module, doubtful, PATIENCE)


def list_units(only: list[str]) -> list[Unit]:
    """The selected classes. ValueError if `only` selects nothing."""
    selection = verdicts.Selection()
    excuses = verdicts.excuses()
    modules = [name for name in processes.modules() if not only or any(item.partition(".")[0] == name for item in only)]
    units = []
    for name, tests in processes.list_classes(filter(selection.wants_module, modules)).items():
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
        if verdict != "pass" and baseline.verdicts[test][0] == "pass":
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


def report(results: list[Result], complaints: list[str], options: argparse.Namespace) -> None:
    if options.verbose:
        for result in sorted(results, key=lambda result: result.subject.seconds):
            print(
                f"{result.unit.name}: {counted([result.subject])}; {len(result.unit.listed)} listed; "
                f"{result.subject.subject_loops} loops; {result.subject.seconds:.1f} s"
            )
    for complaint in complaints:
        print(complaint)
    there = {test for result in results for test in result.unit.listed}
    if not options.only:
        for test in sorted(verdicts.excuses().keys() - there):
            print(f"listed, but this Python does not have it: {test}")
    print(f"\nCPython {sys.version.split()[0]}'s own test_asyncio, {len(results)} classes")
    print(f"{options.loop}: {counted(result.subject for result in results)}")
    print(f"{len(there)} more are listed in exceptions.txt")
    print(f"asyncio was asked for comparison: {counted(result.baseline for result in results) or 'nothing'}")
    passed = sum(verdict == "pass" for result in results for verdict, _ in result.subject.verdicts.values())
    print(f"{passed} passed, {len(complaints)} failed")


def counted(outcomes: Iterable[Outcome]) -> str:
    counts = Counter(verdict for outcome in outcomes for verdict, _ in outcome.verdicts.values())
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())


if __name__ == "__main__":
    sys.exit(main())
