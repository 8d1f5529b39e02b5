"""Run some tests of one module of CPython's asyncio suite in this process, on one loop.

The job is a JSON object on standard input: `loop` (see swap.install), `module`, `tests` (names below the module;
null: list what there is), `patience` (seconds a single test may take) and `report` (file to write). The report is
one JSON array a line: ["test", name] for each there is, ["start", name], ["end", name, verdict, detail] and, if the
process gets that far, ["loops", made of ours, [asyncio's own]].
"""

import faulthandler
import importlib
import json
import sys
import unittest
from collections.abc import Iterator
from typing import Any, TextIO

import swap
from test import support

PACKAGE = "test.test_asyncio."


class Reporter(unittest.TestResult):
    """Writes each verdict as it falls, so that what a hang or a crash leaves behind is known."""

    def __init__(self, report: TextIO, patience: float) -> None:
        super().__init__()
        self._report = report
        self._patience = patience
        self._verdict = ("pass", "")

    def write(self, *record: Any) -> None:
        json.dump(record, self._report)
        self._report.write("\n")
        self._report.flush()

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._verdict = ("pass", "")
        self.write("start", name_of(test))
        # A watchdog thread that needs no GIL: it prints every stack and ends the process, also out of a busy loop.
        faulthandler.dump_traceback_later(self._patience, exit=True)

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()
        self.write("end", name_of(test), *self._verdict)

    def _settle(self, test: Any, verdict: str, detail: str) -> None:
        if isinstance(test, unittest.TestCase):
            self._verdict = (verdict, detail)
        else:  # a class or module fixture
            self.write("end", str(test), verdict, detail)

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self._settle(test, "error", self._exc_info_to_string(err, test))

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self._settle(test, "fail", self._exc_info_to_string(err, test))

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._settle(test, "fail", self._exc_info_to_string(err, test))

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self._settle(test, "fail", "unexpected success")

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self._settle(test, "skip", reason)


def name_of(test: unittest.TestCase) -> str:
    return test.id().removeprefix(PACKAGE)


def flatten(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def main() -> None:
    job = json.load(sys.stdin)
    tally = swap.install(job["loop"])
    support.use_resources = ["cpu", "walltime"]  # all that needs no network
    module = importlib.import_module(PACKAGE + job["module"])
    tests = list(flatten(unittest.defaultTestLoader.loadTestsFromModule(module)))
    with open(job["report"], "w", encoding="utf-8") as report:
        reporter = Reporter(report, job["patience"])
        if job["tests"] is None:
            for test in tests:
                reporter.write("test", name_of(test))
            return
        wanted = set(job["tests"])
        unittest.TestSuite(test for test in tests if name_of(test) in wanted).run(reporter)
        reporter.write("loops", tally.subject, tally.stock)
        faulthandler.dump_traceback_later(job["patience"], exit=True)  # for threads that keep the process alive


if __name__ == "__main__":
    main()
