"""The benchmark suite: `python bench/run.py`. Run it with the interpreter that has the loops installed.

Compares all peers that can be imported, prints the report, and writes it to RESULTS.md if it is about everything.
"""

import argparse
import re
import sys
from pathlib import Path

import machine
from peers import PEERS, version
from process import SampleFailed
from report import markdown
from results import NATIVE, OURS, Results
from workload import Workload
from workloads import ALL

_RESULTS = Path(__file__).parent / "RESULTS.md"
_ROUNDS, _SECONDS = 5, 1.0
_QUICK_ROUNDS, _QUICK_SECONDS = 1, 0.3


def main() -> int:
    """Run what the command line selects. Exit code 1 if ferroloop failed somewhere; a peer's failure is a result."""
    options = _options()
    versions = {peer: version(peer) for peer in options.loops}
    absent = [peer for peer, known in versions.items() if known is None]
    if absent:
        print(f"not importable here: {', '.join(absent)}", file=sys.stderr)
    loops = [peer for peer in options.loops if peer not in absent]
    workloads = [workload for workload in ALL if re.search(options.only, workload.name)]
    before = machine.load()
    results = _measure(workloads, [*loops, NATIVE], options.rounds, options.seconds)
    conditions = [
        machine.description(),
        "loops: " + ", ".join(f"{loop} {versions[loop]}" for loop in loops),
        "not importable: " + (", ".join(absent) or "none"),
        f"{options.rounds} rounds, {options.seconds} s each; load average {before} before, {machine.load()} after",
        *options.note,
    ]
    text = markdown(results, conditions)
    print(text)
    if options.is_complete:
        _RESULTS.write_text(text)
    return 1 if any(loop == OURS for _, loop in results.failures) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, to see that all works")
    parser.add_argument("--rounds", type=int, help=f"samples of each loop and workload (default {_ROUNDS})")
    parser.add_argument("--loops", type=lambda text: text.split(","), help=f"some of {','.join(PEERS)}")
    parser.add_argument("--only", default="", metavar="PATTERN", help="workloads whose name matches, e.g. tcp/")
    parser.add_argument("--note", action="append", default=[], help="a line for the report: what else the machine did")
    options = parser.parse_args()
    options.is_complete = not (options.quick or options.loops or options.only)
    options.rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    options.seconds = _QUICK_SECONDS if options.quick else _SECONDS
    options.loops = options.loops or list(PEERS)
    return options


def _measure(workloads: list[Workload], loops: list[str], rounds: int, seconds: float) -> Results:
    """Round by round, workload by workload, the loops in turn: neighbours in time are what is compared."""
    results = Results(workloads, loops)
    for number in range(rounds):
        for workload in workloads:
            # Each round starts with another loop, so that none always comes after the same one.
            turn = number % len(loops)
            for loop in loops[turn:] + loops[:turn]:
                if loop != NATIVE or workload.has_native:
                    _take(results, workload, loop, seconds)
        print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return results


def _take(results: Results, workload: Workload, loop: str, seconds: float) -> None:
    try:
        sample = workload.sample(loop, seconds)
    except (SampleFailed, OSError) as failure:
        results.fail(workload, loop, str(failure))
        print(f"{workload.name} {loop}: FAIL {failure}", file=sys.stderr)
    else:
        results.add(workload, loop, sample)
        print(f"{workload.name} {loop}: {sample.value:.4g} {workload.unit}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
