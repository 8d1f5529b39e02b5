"""The results as Markdown."""

from collections.abc import Iterator
from statistics import geometric_mean, median

from results import NATIVE, OURS, REFERENCE, Results, spread
from workload import Workload

_HOW = f"""\
Every sample is taken in a fresh process, the loops in turn, round by round. Each cell: median, half the distance of the
extremes and, in brackets, the ratio to {REFERENCE}, which is the median of the ratios within each round. Above 1 is
better, also where less is better (marked ↓). `{NATIVE}` is a minimal epoll server: what the kernel allows. Servers run
on one core and the load, native and checking every byte, on another."""

_CPU_HOW = f"""\
CPU time of the measured process per operation in µs, all its threads, user and kernel; in brackets how many times as
much {REFERENCE} needs. Other work on the machine disturbs it less than it disturbs throughput."""


def markdown(results: Results, conditions: list[str]) -> str:
    """The whole report. `conditions` are lines on machine, versions and procedure."""
    parts = ["# Benchmark results", "\n".join(f"- {line}" for line in conditions)]
    parts += [_HOW, _table(_speed_rows(results))]
    parts += ["## CPU time", _CPU_HOW, _table(_cpu_rows(results))]
    parts += ["## Summary", "\n".join(f"- {line}" for line in _summary(results))]
    return "\n\n".join(parts) + "\n"


def _table(rows: Iterator[list[str]]) -> str:
    head = next(rows)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
    peer = results.best_peer(workload)
    ratio = results.ratio(workload, OURS, peer) if peer else None
    return f"{ratio:.2f} ({peer})" if ratio else "-"


def _cpu_rows(results: Results) -> Iterator[list[str]]:
    yield ["workload", *results.loops]
    for workload in results.workloads:
        times = [results.cpu(workload, loop) for loop in results.loops]
        if any(times):
            ratios = [results.cpu_ratio(workload, loop, REFERENCE) for loop in results.loops]
            cells = zip(times, ratios, strict=True)
            yield [workload.name, *(f"{time * 1e6:.3g}{_bracket(ratio)}" if time else "-" for time, ratio in cells)]


def _summary(results: Results) -> Iterator[str]:
    means = [_mean(results, loop) for loop in results.loops if loop not in (NATIVE, REFERENCE)]
    yield f"Geometric mean of the ratios to {REFERENCE}: {', '.join(means)}."
    for workload in results.workloads:
        ratio = results.ratio(workload, OURS, REFERENCE)
        if ratio and ratio < 1:
            yield f"Behind {REFERENCE}: {workload.name}, {ratio:.2f}."
    for (name, loop), reason in results.failures.items():
        yield f"Failed: {name} on {loop}: {reason.splitlines()[-1]}"


def _mean(results: Results, loop: str) -> str:
    ratios = results.known_ratios(loop)
    if not ratios:
        return f"{loop} unknown"
    incomplete = f" ({len(ratios)} of {len(results.workloads)})" if len(ratios) < len(results.workloads) else ""
    return f"{loop} {geometric_mean(ratios):.2f}{incomplete}"


def _bracket(ratio: float | None) -> str:
    return f" ({ratio:.2f})" if ratio else ""


def _short(value: float) -> str:
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.3g}"
