"""Run some tests of one module of CPython's asyncio suite in this process, on one loop, or list what tests there are.

The job is a JSON object on standard input, the report a file of one JSON array a line. To run: `loop` (see
swap.install), `module`, `tests` (module.Class.test), `patience` (seconds a single test may take) and `report` (file
to write); reported are ["start", test], ["end", test, verdict, detail] and, if the process gets that far, ["loops",
made of ours, [asyncio's own]]. To list: `list` (modules) and `report`; reported are ["test", test].
"""

import contextlib
import faulthandler
import importlib
import json
import signal
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

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._verdict = ("pass", "")
        write(self._report, "start", name_of(test))
        # A watchdog thread that needs no GIL: it prints every stack and ends the process, also out of a busy loop.
        faulthandler.dump_traceback_later(self._patience, exit=True)

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()
        write(self._report, "end", name_of(test), *self._verdict)

    def _settle(self, test: Any, verdict: str, detail: str) -> None:
        if isinstance(test, unittest.TestCase):
            self._verdict = (verdict, detail)
        else:  # a class or module fixture
            write(self._report, "end", str(test), verdict, detail)

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


def write(report: TextIO, *record: Any) -> None:
    json.dump(record, report)
    report.write("\n")
    report.flush()


def name_of(test: unittest.TestCase) -> str:
    return test.id().removeprefix(PACKAGE)


def flatten(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def tests_of(module: str) -> list[unittest.TestCase]:
    loaded = importlib.import_module(PACKAGE + module)
    return list(flatten(unittest.defaultTestLoader.loadTestsFromModule(loaded)))


def main() -> None:
    job = json.load(sys.stdin)
    support.use_resources = ["cpu", "walltime"]  # all that needs no network
    # nohup has the first ignored, and a shell in whose background this runs the second; so they would be by the
    # children that the suite sends them to.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(job["report"], "w", encoding="utf-8") as report:
        if "list" in job:
            list_tests(job["list"], report)
        else:
            run_tests(job, report)


def list_tests(modules: list[str], report: TextIO) -> None:
    for module in modules:
        with contextlib.suppress(unittest.SkipTest):  # the module's own word that it is not for this system
            for test in tests_of(module):
                write(report, "test", name_of(test))


def run_tests(job: dict[str, Any], report: TextIO) -> None:
    tally = swap.install(job["loop"])
    wanted = set(job["tests"])
    suite = unittest.TestSuite(test for test in tests_of(job["module"]) if name_of(test) in wanted)
    suite.run(Reporter(report, job["patience"]))
    write(report, "loops", tally.subject, tally.stock)
    faulthandler.dump_traceback_later(job["patience"], exit=True)  # for threads that keep the process alive


if __name__ == "__main__":
    main()
