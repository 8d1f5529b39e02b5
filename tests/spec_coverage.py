"""Which items of a specification no test cites: `python tests/spec_coverage.py SPEC [SECTION ...]`.

SPEC is a text whose items look like `**S12.3**`. A test, of the engine too, cites an item by its
number in a docstring, a comment or a mark, several in a row as `S4.1-S4.12`. SECTION (12, or 0-21) limits the listing.
Exits with 1 if an item is uncited.
"""

import re
import sys
from pathlib import Path

ITEM = re.compile(r"\*\*S(\d+)\.(\d+)\*\*(.*)")
CITATION = re.compile(r"\bS(\d+)\.(\d+)(?:-S(\d+)\.(\d+))?")

Item = tuple[int, int]


def items(spec: str) -> dict[Item, str]:
    """The items of the specification with the start of their text."""
    found = {}
    for section, number, text in ITEM.findall(spec):
        found[int(section), int(number)] = text.strip()[:100]
    return found


def cited(checkout: Path) -> set[Item]:
    """Every item that a test cites, ranges expanded."""
    found: set[Item] = set()
    for path in *checkout.glob("tests/**/*.py"), *checkout.glob("engine/tests/**/*.rs"):
        for first_section, first, last_section, last in CITATION.findall(path.read_text()):
            end = int(last) if last_section == first_section else int(first)
            found.update((int(first_section), n) for n in range(int(first), end + 1))
    return found


def sections(arguments: list[str]) -> set[int] | None:
    """The sections asked for, None for all."""
    if not arguments:
        return None
    chosen: set[int] = set()
    for argument in arguments:
        first, _, last = argument.partition("-")
        chosen.update(range(int(first), int(last or first) + 1))
    return chosen


def main() -> int:
    """List the uncited items."""
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    wanted = sections(sys.argv[2:])
    spec = items(Path(sys.argv[1]).read_text())
    chosen = {item for item in spec if wanted is None or item[0] in wanted}
    missing = sorted(chosen - cited(Path(__file__).parents[1]))
    for section, number in missing:
        print(f"S{section}.{number}  {spec[section, number]}")
    print(f"{len(chosen) - len(missing)} of {len(chosen)} items cited")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
