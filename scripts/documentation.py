"""Hooks of mkdocs: pages that live elsewhere in the repository, and figures taken from bench/RESULTS.md.

The documentation quotes no figure of its own, so it cannot differ from the measurements.
"""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "python" / "ferroloop" / "_commands"))
import chart  # noqa: E402  # without the package around it, which needs the extension module

# Name in the documentation, and where it is in the repository.
ELSEWHERE = {
    "architecture.md": "ARCHITECTURE.md",
    "changelog.md": "CHANGELOG.md",
    "examples.md": "examples/README.md",
    "results.md": "bench/RESULTS.md",
}
RESULTS = ROOT / "bench" / "RESULTS.md"
LOOPS = ("asyncio", "uvloop", "rloop", "rsloop", "zuvloop", "ferroloop")
# One row for each kind of work, if it was measured.
ON_THE_FIRST_PAGE = (
    "call_soon/chain",
    "timers/set and cancel",
    "tasks/create_task",
    "tcp/streams/1 KiB x 16",
    "unix/protocol/1 KiB x 16",
    "http/uvicorn plaintext",
)
_RATIO = re.compile(r"\((\d+\.\d+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from elsewhere and the picture of the results."""
    for name, source in ELSEWHERE.items():
        text = (ROOT / source).read_text().replace("](docs/", "](").replace("](bench/RESULTS.md)", "](results.md)")
        files.append(File.generated(config, name, content=text))
    for plot in sorted((ROOT / "bench" / "plots").glob("*.svg")):
        files.append(File.generated(config, f"plots/{plot.name}", content=plot.read_text()))
    picture = chart.svg(ratios(), "Speed relative to uvloop")
    files.append(File.generated(config, "results.svg", content=picture))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put tables and pictures in the place of their comments."""
    return markdown.replace("<!-- results -->", table()).replace(
        "<!-- chart -->", "![Speed of the loops relative to uvloop](results.svg)"
    )


def ratios() -> chart.Ratios:
    """What the table of speeds says of each workload and loop, relative to uvloop."""
    found: chart.Ratios = {}
    speed = next(part for part in RESULTS.read_text().split("\n## ") if part.startswith("Speed\n"))
    rows = [line.strip("| ").split(" | ") for line in speed.splitlines() if line[:1] == "|"]
    head = rows[0]
    for row in rows[2:]:
        cells = dict(zip(head, row, strict=True))
        found[row[0]] = {loop: float(match[1]) for loop in LOOPS if (match := _RATIO.search(cells.get(loop, "")))}
    return found


def table() -> str:
    """Some rows, as Markdown."""
    measured = ratios()
    lines = [f"| {' | '.join(['speed relative to uvloop', *LOOPS])} |", "|---" * (len(LOOPS) + 1) + "|"]
    for workload in [name for name in ON_THE_FIRST_PAGE if name in measured]:
        cells = [f"{measured[workload][loop]:.2f}" if loop in measured[workload] else "-" for loop in LOOPS]
        lines.append(f"| {workload} | {' | '.join(cells)} |")
    return "\n".join(
        [*lines, "", "Above 1 is faster than uvloop. [All measurements](results.md), with how they were made."]
    )
