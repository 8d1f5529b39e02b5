"""The results as pictures: a line for each workload, a dot for each loop, worse than the reference to the left."""

from collections.abc import Iterator
from html import escape
from math import log2

from bars import TOLERANCE
from peers import FASTNET, NATIVE, OURS, REFERENCE
from results import Results
from workload import QUANTILES

_COLOURS = {
    "asyncio": "#7f7f7f",
    "rloop": "#8c564b",
    "rsloop": "#e377c2",
    "zuvloop": "#1f77b4",
    FASTNET: "#2ca02c",
    NATIVE: "#111111",
    OURS: "#d62728",
}
# The pictures, and how the names of their workloads begin.
_PICTURES = {
    "scheduling": ("call_soon", "timers", "sleep", "tasks", "loop", "import"),
    "tcp": ("tcp/",),
    "others": ("tls", "unix", "udp", "pipes", "spawn", "signals", "getaddrinfo", "http", "client", "memory", "cpu"),
}
_ROW, _TOP, _LEFT, _WIDTH = 16, 64, 270, 620
# The axis: from an eighth to eight times the reference; what lies beyond is drawn at its end.
_DOUBLINGS = 3

# A workload's label, the ratio of each loop to the reference, and whether ours is behind the best of the others.
Row = tuple[str, dict[str, float], bool]


def pictures(results: Results) -> dict[str, str]:
    """SVG by name: speed of three groups of workloads, and the latencies."""
    drawn = {name: list(_speeds(results, begin)) for name, begin in _PICTURES.items()}
    drawn["latency"] = list(_latencies(results))
    return {name: _svg(name, rows, results.loops) for name, rows in drawn.items() if rows}


def _speeds(results: Results, begin: tuple[str, ...]) -> Iterator[Row]:
    for workload in results.workloads:
        if workload.name.startswith(begin):
            known = {loop: results.ratio(workload, loop, REFERENCE) for loop in results.loops}
            ratios = {loop: ratio for loop, ratio in known.items() if ratio}
            to_best = results.to_best(workload)
            if ratios:
                yield workload.name, ratios, to_best is not None and to_best < 1 - TOLERANCE


def _latencies(results: Results) -> Iterator[Row]:
    for workload in results.workloads:
        known = {loop: results.latencies(workload, loop) for loop in results.loops}
        if not workload.name.startswith(("tcp/protocol/1 KiB", "http")) or not known.get(REFERENCE):
            continue
        for index, quantile in enumerate(QUANTILES):
            ratios = {loop: known[REFERENCE][index] / each[index] for loop, each in known.items() if each}
            best = max(ratio for loop, ratio in ratios.items() if loop not in (OURS, NATIVE))
            yield f"{workload.name} {quantile}", ratios, ratios.get(OURS, best) < best * (1 - TOLERANCE)


def _svg(title: str, rows: list[Row], loops: list[str]) -> str:
    """All ratios on a logarithmic axis, above 1 to the right, also where less is better."""
    height, width = _TOP + _ROW * len(rows) + 10, _LEFT + _WIDTH + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif"'
        ' font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="4" y="14" font-weight="bold">{escape(title)}: times {REFERENCE}, further right is better</text>',
        f'<text x="4" y="34" fill="{_COLOURS[OURS]}">red: {OURS} is behind the best</text>',
        *_legend(loops),
        *_axis(height),
    ]
    for index, row in enumerate(rows):
        lines += _line(row, _TOP + _ROW * index + _ROW // 2)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _legend(loops: list[str]) -> Iterator[str]:
    for index, loop in enumerate(loop for loop in loops if loop in _COLOURS):
        x = _LEFT + 90 * index
        yield f'<circle cx="{x}" cy="30" r="4" fill="{_COLOURS[loop]}"/><text x="{x + 8}" y="34">{escape(loop)}</text>'


def _axis(height: int) -> Iterator[str]:
    for doublings in range(-_DOUBLINGS, _DOUBLINGS + 1):
        x = _x(2.0**doublings)
        colour = "#444" if doublings == 0 else "#ddd"
        label = f"{2**doublings:g}" if doublings >= 0 else f"1/{2**-doublings}"
        yield f'<line x1="{x}" y1="{_TOP - 6}" x2="{x}" y2="{height - 6}" stroke="{colour}"/>'
        yield f'<text x="{x}" y="{_TOP - 10}" text-anchor="middle" fill="#444">{label}</text>'


def _line(row: Row, y: int) -> Iterator[str]:
    label, ratios, is_behind = row
    colour = _COLOURS[OURS] if is_behind else "#000"
    yield f'<text x="4" y="{y + 4}" fill="{colour}">{escape(label)}</text>'
    for loop, ratio in ratios.items():
        if loop in _COLOURS:
            radius = 5 if loop == OURS else 3.5
            title = f"<title>{escape(loop)} {ratio:.2f}</title>"
            yield f'<circle cx="{_x(ratio)}" cy="{y}" r="{radius}" fill="{_COLOURS[loop]}">{title}</circle>'


def _x(ratio: float) -> float:
    doublings = max(-_DOUBLINGS, min(_DOUBLINGS, log2(ratio)))
    return round(_LEFT + _WIDTH * (doublings + _DOUBLINGS) / (2 * _DOUBLINGS), 1)
