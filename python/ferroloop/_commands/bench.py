"""`python -m ferroloop bench`: ferroloop and whatever other loops are installed, side by side, in about a minute."""

import argparse
import importlib.util
import platform
import sys
from pathlib import Path
from statistics import median

from .. import _ferroloop
from . import argument_types, chart, sample
from .machine import processors
from .workloads import WORKLOADS

_REFERENCE = "asyncio"
_PEERS = (_REFERENCE, "uvloop", "rloop", "rsloop", "zuvloop", "ferroloop")
_ABOUT = """\
Compare the event loops that are installed here. Every measurement runs in a process of its own, the loops in turn; a
figure is the median of the rounds, in operations per second, and in brackets the ratio to asyncio. Trust ratios on an
idle machine, and differences under a tenth not at all."""

_LONGEST = 60.0

Rates = dict[tuple[str, str], list[float]]
Failures = dict[tuple[str, str], str]


def main(arguments: list[str]) -> int:
    """Measure, print a table and a chart, and say what failed. The exit status is 1 if ferroloop did."""
    options = _options(arguments)
    total = options.rounds * len(WORKLOADS) * len(options.loops)
    print(f"{total} measurements of {options.seconds:g} s: {', '.join(options.loops)}", file=sys.stderr)
    rates, failures = _measure(options.loops, options.rounds, options.seconds)
    print(_caption(options.rounds))
    print(f"\n{_table(options.loops, rates)}\n")
    ratios = _ratios(options.loops, rates)
    if ratios:
        print(chart.text(ratios))
    for (loop, workload), reason in failures.items():
        print(f"\n{loop} failed at {workload}: {reason}")
    if options.svg and ratios:
        options.svg.write_text(chart.svg(ratios, f"Speed relative to asyncio. {_caption(options.rounds)}"))
    return 1 if any(loop == "ferroloop" for loop, _ in failures) else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ferroloop bench", description=_ABOUT)
    known = ",".join(_installed())
    parser.add_argument("--loops", type=_loops, default=known, help="which to compare (default: %(default)s)")
    parser.add_argument("--rounds", type=argument_types.number, default=3, help="of everything (default: %(default)s)")
    parser.add_argument("--seconds", type=_duration, default=0.5, help="of each measurement (default: %(default)s)")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the chart into this file, too")
    return parser.parse_args(arguments)


def _installed() -> list[str]:
    return [peer for peer in _PEERS if importlib.util.find_spec(peer) is not None]


def _loops(text: str) -> list[str]:
    loops = text.split(",")
    for loop in loops:
        if loop not in _installed():
            raise argparse.ArgumentTypeError(f"{loop!r} is not one of {', '.join(_installed())}")
    return loops


def _duration(text: str) -> float:
    if not 0 < (seconds := float(text)) <= _LONGEST:
        raise argparse.ArgumentTypeError(f"more than 0 and at most {_LONGEST:g}")
    return seconds


def _measure(loops: list[str], rounds: int, seconds: float) -> tuple[Rates, Failures]:
    """All samples, round by round, so that what disturbs the machine for a while disturbs all loops alike."""
    rates: Rates = {}
    failures: Failures = {}
    for _ in range(rounds):
        for workload in WORKLOADS:
            for loop in loops:
                if (loop, workload) in failures:
                    continue
                try:
                    rates.setdefault((loop, workload), []).append(sample.take(loop, workload, seconds))
                except RuntimeError as exc:
                    failures[loop, workload] = str(exc)
    return {key: found for key, found in rates.items() if key not in failures}, failures


def _ratios(loops: list[str], rates: Rates) -> chart.Ratios:
    """Relative to asyncio, of what was measured on both."""
    ratios: chart.Ratios = {}
    for workload in WORKLOADS:
        reference = rates.get((_REFERENCE, workload))
        for loop in loops:
            if reference and (found := rates.get((loop, workload))):
                ratios.setdefault(workload, {})[loop] = median(found) / median(reference)
    return ratios


def _table(loops: list[str], rates: Rates) -> str:
    ratios = _ratios(loops, rates)
    lines = [f"{'':<12}" + "".join(f"  {loop:>18}" for loop in loops)]
    for workload in WORKLOADS:
        cells = [_cell(rates.get((loop, workload)), ratios.get(workload, {}).get(loop)) for loop in loops]
        lines.append(f"{workload:<12}" + "".join(f"  {cell:>18}" for cell in cells))
    return "\n".join(lines)


def _cell(found: list[float] | None, ratio: float | None) -> str:
    if not found:
        return "failed"
    return f"{median(found):,.0f}" + (f" ({ratio:.2f})" if ratio else "")


def _caption(rounds: int) -> str:
    return (
        f"ferroloop {_ferroloop.__version__}, CPython {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {processors()} processors, {rounds} round{'s' * (rounds > 1)}"
    )
