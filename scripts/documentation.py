"""Hooks of mkdocs: pages that live elsewhere in the repository, and figures taken from bench/RESULTS.md."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
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
    """Add the pages from elsewhere and the pictures of the results."""
    for name, source in ELSEWHERE.items():
        text = (ROOT / source).read_text().replace("](docs/", "](").replace("](bench/RESULTS.md)", "](results.md)")
        files.append(File.generated(config, name, content=text))
    for plot in (ROOT / "bench" / "plots").glob("*.svg"):
        files.append(File.generated(config, f"plots/{plot.name}", content=plot.read_text()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put tables and pictures in the place of their comments."""
    return markdown.replace("<!-- results -->", table()).replace("<!-- chart -->", pictures())


def pictures() -> str:
    """All that the report has, in its order."""
    return "\n\n".join(re.findall(r"^!\[.*\]\(plots/.*\)$", RESULTS.read_text(), re.MULTILINE))


def ratios() -> dict[str, dict[str, float]]:
    """What the table of speeds says of each workload and loop, relative to uvloop."""
    found: dict[str, dict[str, float]] = {}
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
