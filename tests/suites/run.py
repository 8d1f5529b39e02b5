"""Run the test suites of libraries with ferroloop underneath, and compare with the same suites on stock asyncio.

Usage: python tests/suites/run.py [--install] [--work DIRECTORY] [-j N] [name ...]

suites.toml says which suites. The run fails if

- a test that passes on asyncio fails on ferroloop, fails there again by itself, and passes on asyncio by itself, every
  time; or, if it is known to be flaky, fails on ferroloop every time;
- a test that passes on asyncio is skipped on ferroloop, or not there;
- a suite makes loops on asyncio and none of ours on ferroloop, or some of asyncio's own there;
- a suite does not come to its end.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

HERE = Path(__file__).parent
# Seconds for one suite on one loop. The longest takes a quarter of an hour on two busy cores.
PATIENCE = 3600
# How often a test that failed is run again by itself on each loop.
REPETITIONS = 3
FAILED = ("failure", "error")


@dataclass
class Outcome:
    """The verdict on each test, and the loops made."""

    verdicts: dict[str, str]
    loops: Counter[str]


class Suite:
    """One library's suite, unpacked."""

    def __init__(self, table: dict[str, Any], work: Path, jobs: int) -> None:
        self.name: str = table["name"]
        self.exceptions = {entry["test"] for entry in table.get("exception", [])}
        self.flaky = {entry["test"] for entry in table.get("flaky", [])}
        self._version: str = table["version"]
        self._arguments: list[str] = table["arguments"]
        self._keep = {(name,) for name in table["keep"]} if "keep" in table else None
        self._work = work
        self._jobs = jobs
        self._place = work / f"{self.name}-{self._version}"

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self._version}"

    def unpack(self) -> None:
        """Lay out the source distribution anew; fetch it, once."""
        sources = self._work / "sources"
        path = sources / f"{self.name}-{self._version}.tar.gz"
        if not path.exists():
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", self.name]
            subprocess.run([*pip, "--dest", str(sources), self.requirement], check=True)
        shutil.rmtree(self._place, ignore_errors=True)
        with tarfile.open(path) as archive:
            members = [it for it in archive if self._keep is None or Path(it.name).parts[1:2] in self._keep]
            archive.extractall(self._work, members, filter="data")

    def run(self, loop: str) -> Outcome:
        """The whole suite. RuntimeError if it does not come to its end."""
        return self._pytest(loop, f"{self.name}-{loop}", [*self._arguments, "-n", str(self._jobs)])

    def run_again(self, loop: str, test: str) -> int:
        """How often the test passes by itself, of REPETITIONS."""
        arguments = [*self._arguments[:-1], "-n", "0", self._node(test)]
        outcomes = [self._pytest(loop, f"{self.name}-{loop}-again", arguments) for _ in range(REPETITIONS)]
        return sum(test in passed(outcome) for outcome in outcomes)

    def _pytest(self, loop: str, name: str, arguments: list[str]) -> Outcome:
        """Run pytest; what it says is in `name`.log, its report in `name`.xml."""
        report, log = self._work / f"{name}.xml", self._work / f"{name}.log"
        report.unlink(missing_ok=True)
        environment = os.environ | {
            "LOOP_UNDERNEATH": loop,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")])),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "underneath", f"--junitxml={report}", *arguments]
        with log.open("wb") as output:
            done = subprocess.run(
                command, cwd=self._place, env=environment, stdout=output, stderr=output, timeout=PATIENCE, check=False
            )
        if done.returncode not in (0, 1) or not report.exists():
            raise RuntimeError(f"{self.name} on {loop} came to no end:\n{log.read_text(errors='replace')[-4000:]}")
        return read(report)

    def _node(self, test: str) -> str:
        """The name by which pytest knows what the report calls `module.Class::test`."""
        dotted, _, name = test.partition("::")
        parts = dotted.split(".")
        for end in range(len(parts), 0, -1):
            path = Path(*parts[:end]).with_suffix(".py")
            if (self._place / path).exists():
                return "::".join([str(path), *parts[end:], name])
        raise ValueError(test)


def read(report: Path) -> Outcome:
    """What a report says. RuntimeError if a module of tests could not be imported."""
    outcome = Outcome({}, Counter())
    for case in ElementTree.parse(report).iter("testcase"):
        test = f"{case.get('classname')}::{case.get('name')}"
        if any(child.get("message") == "collection failure" for child in case):
            raise RuntimeError(f"{report.stem}: {test.strip(':')} could not be collected")
        tags = {child.tag for child in case}
        verdict = "fail" if tags & set(FAILED) else "skip" if "skipped" in tags else "pass"
        if outcome.verdicts.get(test) != "fail":  # a failure in a fixture's end comes second
            outcome.verdicts[test] = verdict
        for item in case.iter("property"):
            outcome.loops[item.get("name") or ""] += int(item.get("value") or 0)
    return outcome


def judge(suite: Suite) -> list[str]:
    """Run the suite on both loops; every reason why the run fails."""
    subject, baseline = suite.run("ferroloop"), suite.run("asyncio")
    print(f"{suite.requirement}: ferroloop {counted(subject)}; asyncio {counted(baseline)}")
    complaints = []
    if subject.loops["asyncio"]:
        complaints.append(f"ESCAPED {suite.name} made {subject.loops['asyncio']} loops of asyncio's own")
    if baseline.loops["asyncio"] and not subject.loops["ferroloop"]:
        complaints.append(f"ESCAPED {suite.name} makes loops, but none of ours")
    for test in sorted(passed(baseline) - passed(subject) - suite.exceptions):
        if subject.verdicts.get(test) != "fail":
            complaints.append(f"NOT RUN {suite.name} {test}")
        elif comes_and_goes(suite, test):
            print(f"  flaky: {test}")
        else:
            complaints.append(f"FAIL {suite.name} {test}")
    return complaints


def comes_and_goes(suite: Suite, test: str) -> bool:
    """Whether a failure says nothing about the loop."""
    passes = suite.run_again("ferroloop", test)
    if passes == REPETITIONS or (passes and test in suite.flaky):
        return True
    return suite.run_again("asyncio", test) < REPETITIONS


def passed(outcome: Outcome) -> set[str]:
    return {test for test, verdict in outcome.verdicts.items() if verdict == "pass"}


def counted(outcome: Outcome) -> str:
    counts = Counter(outcome.verdicts.values())
    return f"{counts['pass']} passed, {counts['fail']} failed, {outcome.loops.total()} loops"


def install(requirements: Iterable[str]) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--prefer-binary"]
    subprocess.run([*pip, *requirements], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path(".build/suites"), help="where suites are unpacked")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--install", action="store_true", help="install what the suites need, and end")
    parser.add_argument("only", nargs="*", help="names of suites (default: all)")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    table = tomllib.loads((HERE / "suites.toml").read_text(encoding="utf-8"))
    suites = [Suite(entry, options.work.resolve(), options.jobs) for entry in table["suite"]]
    if options.install:
        install([*table["requirements"], *(suite.requirement for suite in suites)])
        return 0
    complaints = []
    for suite in suites:
        if not options.only or suite.name in options.only:
            try:
                suite.unpack()
                complaints += judge(suite)
            except (RuntimeError, subprocess.SubprocessError) as exc:
                complaints.append(f"NO END {exc}")
    print("\n".join(complaints) or "nothing fails that passes on asyncio")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
