"""`python -m ferroloop doctor`: what ferroloop finds on this machine, and what to do about it."""

import argparse
from collections.abc import Iterator

from . import conflicts, machine, programs, trial
from .finding import Finding, Mark

_ABOUT = """\
Tell what ferroloop finds here: the machine, its limits, programs that can use it and how, and settings in its way.
The exit status is 1 if there is a problem to solve."""


def main(arguments: list[str]) -> int:
    """Print the report."""
    argparse.ArgumentParser(prog="python -m ferroloop doctor", description=_ABOUT).parse_args(arguments)
    problems = 0
    for title, findings in _sections():
        print(title)
        for finding in findings:
            problems += finding.mark is Mark.PROBLEM
            print(f"  {finding.mark.value:<8}{finding.text}")
        print()
    print(f"{problems} problem{'s' * (problems != 1)} found" if problems else "No problem found.")
    return 1 if problems else 0


def _sections() -> Iterator[tuple[str, list[Finding]]]:
    yield "Here", [*machine.here()]
    yield "Limits", [*machine.limits()]
    yield "A loop, tried", [*trial.findings()]
    yield "Programs found, and how to run them on ferroloop", [*programs.findings()]
    yield "In the way", [*conflicts.findings()]
