"""The benchmark suite: `python bench/run.py`. Run it with the interpreter that has the loops installed.

Compares all peers that can be imported, prints the report, and writes it to RESULTS.md, with pictures, if it is about
everything. Every sample is kept at once: a run that was interrupted goes on with `--resume`.
"""

import argparse
import re
import sys
import time
from pathlib import Path

import machine
from peers import NATIVE, OURS, PEERS, PORTABLE, version
from process import HERE
from report import markdown, write
from samples import Run, merged
from workload import Outcome, Sample, Workload
from workloads import ALL

_SAMPLES = HERE.parent / ".build" / "bench.jsonl"
_ROUNDS, _SECONDS = 5, 0.3
_QUICK_ROUNDS, _QUICK_SECONDS = 1, 0.1


def main() -> int:
    """Run what the command line selects. Exit code 1 if ferroloop failed somewhere; a peer's failure is a result."""
    options = _options()
    versions = {peer: version(peer) for peer in options.loops}
    absent = [peer for peer, known in versions.items() if known is None]
    selected = [workload for workload in ALL if re.search(options.only, workload.name)]
    left_out = [f"{workload.name} ({reason})" for workload in selected if (reason := workload.missing())]
    workloads = [workload for workload in selected if not workload.missing()]
    loops = [*(peer for peer in options.loops if peer not in absent), NATIVE]
    run = _opened(options)
    run.describe(
        [
            machine.description(),
            "loops: " + ", ".join(f"{loop} {known}" for loop, known in versions.items() if known),
            "not importable: " + (", ".join(absent) or "none"),
            "workloads left out: " + (", ".join(left_out) or "none"),
            f"{options.rounds} rounds, {options.seconds} s each; load average at the start {machine.load()}",
            *options.note,
        ]
    )
    for line in run.conditions:
        print(line, file=sys.stderr)
    _measure(run, workloads, loops, options.rounds, options.seconds)
    results = merged([run], workloads)
    print(markdown(results, run.conditions))
    if options.is_complete:
        write(results, run.conditions)
    return 1 if any(loop == OURS for _, loop in results.failures) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, to see that all works")
    parser.add_argument("--rounds", type=int, help=f"samples of each loop and workload (default {_ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"of each sample (default {_SECONDS})")
    parser.add_argument("--loops", type=lambda text: text.split(","), help=f"some of {','.join([*PEERS, PORTABLE])}")
    parser.add_argument("--only", default="", metavar="PATTERN", help="workloads whose name matches, e.g. tcp/")
    parser.add_argument("--note", action="append", default=[], help="a line for the report: what else the machine did")
    parser.add_argument("--samples", type=Path, default=_SAMPLES, metavar="FILE", help="where samples are kept")
    parser.add_argument("--resume", action="store_true", help="keep what FILE has and take only what it lacks")
    options = parser.parse_args()
    options.is_complete = not (options.quick or options.loops or options.only)
    options.rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    options.seconds = options.seconds or (_QUICK_SECONDS if options.quick else _SECONDS)
    options.loops = options.loops or list(PEERS)
    return options


def _opened(options: argparse.Namespace) -> Run:
    if not options.resume:
        options.samples.unlink(missing_ok=True)
    return Run.read(options.samples)


def _measure(run: Run, workloads: list[Workload], loops: list[str], rounds: int, seconds: float) -> None:
    """Round by round, workload by workload, all loops together: neighbours in time are what is compared."""
    plan = [(number, workload) for number in range(rounds) for workload in workloads]
    expected = [_expected(workload, _due(run, workload, loops, number), seconds) for number, workload in plan]
    print(f"about {sum(expected) / 60:.0f} minutes", file=sys.stderr)
    start = time.monotonic()
    for index, (number, workload) in enumerate(plan):
        due = _due(run, workload, loops, number)
        for loop, outcome in workload.samples(due, seconds).items():
            shown = _record(run, workload, loop, number, outcome)
            print(f"{workload.name} {loop}: {shown}", file=sys.stderr)
        pace = (time.monotonic() - start) / max(sum(expected[: index + 1]), 1)
        print(f"[round {number + 1}, {sum(expected[index + 1 :]) * pace / 60:.0f} min left]", file=sys.stderr)


def _due(run: Run, workload: Workload, loops: list[str], number: int) -> list[str]:
    """The loops whose samples of that round are still to be taken."""
    return [loop for loop in loops if workload.takes(loop) and run.needs(workload, loop, number)]


def _expected(workload: Workload, loops: list[str], seconds: float) -> float:
    return (workload.overhead + seconds) * len(loops)


def _record(run: Run, workload: Workload, loop: str, number: int, outcome: Outcome) -> str:
    if isinstance(outcome, Sample):
        run.add(workload, loop, number, outcome)
        return f"{outcome.value:.4g} {workload.unit}"
    run.fail(workload, loop, number, str(outcome))
    return f"FAIL {str(outcome).splitlines()[-1]}"


if __name__ == "__main__":
    sys.exit(main())
