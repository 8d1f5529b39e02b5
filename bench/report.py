"""The results as Markdown, with pictures: `python bench/report.py FILE...` puts the samples of runs together."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bars import TOLERANCE, Bar, bars, behind
from peers import NATIVE, OURS, REFERENCE
from plot import pictures
from results import Results, spread
from samples import Run, merged
from workload import Workload
from workloads import ALL

_RESULTS = Path(__file__).parent / "RESULTS.md"
_PLOTS = "plots"

_HOW = f"""\
Every sample is taken in a fresh process. Those of a round are alive together and work by turns of some hundredths of
a second, in no order: what else the machine does hits all loops alike. Each cell: median, half the distance of the
extremes and, in brackets, the ratio to {REFERENCE}, which is the median of the ratios within each round. Above 1 is
better, also where less is better (marked ↓). `{NATIVE}` is a minimal epoll server: what the kernel allows. Servers
run on one core and the load, native and checking every byte, on another."""

_CPU_HOW = f"""\
CPU time of the measured process per operation in µs, all its threads, user and kernel; in brackets how many times as
much {REFERENCE} needs. Other work on the machine disturbs it less than it disturbs throughput."""

_LATENCY_HOW = """\
Microseconds from the request to the last byte of the answer, as the client saw them: 50 / 99 / 99.9 % of the exchanges
were faster."""


def main() -> None:
    """Print the report, or write it to where the repository keeps it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", nargs="+", type=Path, help="what run.py --samples has written")
    parser.add_argument("--only", default="", metavar="PATTERN", help="workloads whose name matches")
    parser.add_argument("--write", action="store_true", help=f"write {_RESULTS.name} and the pictures")
    options = parser.parse_args()
    runs = [Run.read(path) for path in options.samples]
    results = merged(runs, [workload for workload in ALL if re.search(options.only, workload.name)])
    # What the runs have in common is said once.
    conditions = list(dict.fromkeys(line for run in runs for line in run.conditions))
    if options.write:
        write(results, conditions)
    else:
        print(markdown(results, conditions))


def write(results: Results, conditions: list[str]) -> None:
    """Write the report and its pictures to where the repository keeps them."""
    drawn = pictures(results)
    directory = _RESULTS.parent / _PLOTS
    directory.mkdir(exist_ok=True)
    for name, picture in drawn.items():
        (directory / f"{name}.svg").write_text(picture)
    _RESULTS.write_text(markdown(results, conditions, list(drawn)))


def markdown(results: Results, conditions: list[str], drawn: list[str] | None = None) -> str:
    """The whole report. `conditions` are lines on machine, versions and procedure; `drawn` are names of pictures."""
    parts = ["# Benchmark results", _list(conditions)]
    parts += ["## Summary", _list(summary(results))]
    parts += ["### Bars", _table(_bar_rows(results))]
    parts += [f"![Ratios to {REFERENCE}: {name}]({_PLOTS}/{name}.svg)" for name in drawn or ()]
    parts += ["## Speed", _HOW, _table(_speed_rows(results))]
    parts += ["## CPU time", _CPU_HOW, _table(_cpu_rows(results))]
    parts += ["## Latency", _LATENCY_HOW, _table(_latency_rows(results))]
    return "\n\n".join(parts) + "\n"


def summary(results: Results) -> Iterator[str]:
    """Means, losses and failures, a line for each."""
    means = [_mean(results, loop) for loop in results.loops if loop not in (NATIVE, REFERENCE)]
    yield f"Geometric mean of the ratios to {REFERENCE}: {', '.join(means)}."
    composite = results.mean_to_best()
    if composite:
        yield f"Geometric mean of {OURS}'s ratios to the best peer of each workload: {composite:.2f}."
    lost = behind(results)
    measured = sum(results.to_best(workload) is not None for workload in results.workloads)
    yield f"More than {TOLERANCE:.0%} behind the best peer: {len(lost)} of {measured} workloads."
    for workload, ratio, peer in lost:
        yield f"Behind {peer}: {workload.name}, {ratio:.2f}."
    for (name, loop), reason in results.failures.items():
        yield f"Failed: {name} on {loop}: {reason.splitlines()[-1]}"


def _list(lines: list[str] | Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(rows: Iterator[list[str]]) -> str:
    head = next(rows)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bar_rows(results: Results) -> Iterator[list[str]]:
    yield ["bar", "", "measured"]
    for bar in bars(results):
        yield [bar.claim, _verdict(bar), "; ".join(f"{name} {value:.4g}" for name, value in bar.figures.items())]


def _verdict(bar: Bar) -> str:
    if bar.holds is None:
        return "not measured"
    return "holds" if bar.holds else "**does not hold**"


def _speed_rows(results: Results) -> Iterator[list[str]]:
    yield ["workload", "unit", *results.loops, f"{OURS} to best peer"]
    for workload in results.workloads:
        cells = [_speed(results, workload, loop) for loop in results.loops]
        unit = workload.unit + "↓" * workload.less_is_better
        yield [workload.name, unit, *cells, _against_best(results, workload)]


def _speed(results: Results, workload: Workload, loop: str) -> str:
    values = results.values(workload, loop)
    if not values:
        return "FAIL" if (workload.name, loop) in results.failures else "-"
    doubt = f" ±{spread(values):.0%}" if len(values) > 1 else ""
    return f"{_short(median(values))}{doubt}{_bracket(results.ratio(workload, loop, REFERENCE))}"


def _against_best(results: Results, workload: Workload) -> str:
    ratio = results.to_best(workload)
    return f"{ratio:.2f} ({results.best_peer(workload)})" if ratio else "-"


def _cpu_rows(results: Results) -> Iterator[list[str]]:
    yield ["workload", *results.loops]
    for workload in results.workloads:
        times = [results.cpu(workload, loop) for loop in results.loops]
        if any(times):
            ratios = [results.cpu_ratio(workload, loop, REFERENCE) for loop in results.loops]
            cells = zip(times, ratios, strict=True)
            yield [workload.name, *(f"{time * 1e6:.3g}{_bracket(ratio)}" if time else "-" for time, ratio in cells)]


def _latency_rows(results: Results) -> Iterator[list[str]]:
    yield ["workload", *results.loops]
    for workload in results.workloads:
        quantiles = [results.latencies(workload, loop) for loop in results.loops]
        if any(quantiles):
            cells = [" / ".join(f"{seconds * 1e6:.3g}" for seconds in each) or "-" for each in quantiles]
            yield [workload.name, *cells]


def _mean(results: Results, loop: str) -> str:
    mean = results.mean_to_reference(loop)
    if mean is None:
        return f"{loop} unknown"
    known, all_of_them = len(results.ratios_to_reference(loop)), len(results.workloads)
    incomplete = f" ({known} of {all_of_them})" if known < all_of_them else ""
    return f"{loop} {mean:.2f}{incomplete}"


def _bracket(ratio: float | None) -> str:
    return f" ({ratio:.2f})" if ratio else ""


def _short(value: float) -> str:
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
