"""The specification and its citations agree: each item is shown by a test, and what is cited exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import loops

pytestmark = pytest.mark.skipif(loops.ORACLE_ALONE, reason="oracle-only run")

ROOT = Path(__file__).parent.parent
# `- **S12.3** text`, or a row of the constants, which are cited where they matter and need no test of their own.
ITEM = re.compile(r"^- \*\*S(\d+)\.(\d+)\*\*", re.MULTILINE)
CONSTANT = re.compile(r"^\| S(\d+)\.(\d+) \|", re.MULTILINE)
CITATION = re.compile(r"\bS(\d+)\.(\d+)(?:-S(\d+)\.(\d+))?")
TESTS = ("tests/**/*.py", "engine/tests/**/*.rs")
SOURCES = ("*.md", "docs/*.md", "python/**/*.py", "engine/**/*.rs", "binding/**/*.rs")

Item = tuple[int, int]


def matches(pattern: re.Pattern[str]) -> set[Item]:
    text = (ROOT / "docs" / "specification.md").read_text()
    return {(int(section), int(number)) for section, number in pattern.findall(text)}


def cited_in(text: str) -> Iterator[Item]:
    """Several in a row are cited as `S4.1-S4.12`."""
    for first_section, first, last_section, last in CITATION.findall(text):
        end = int(last) if last_section == first_section else int(first)
        yield from ((int(first_section), number) for number in range(int(first), end + 1))


def cited(*places: str) -> set[Item]:
    paths = {path for place in places for path in ROOT.glob(place)} - {Path(__file__)}
    return {item for path in paths for item in cited_in(path.read_text())}


def names(items: set[Item]) -> list[str]:
    return [f"S{section}.{number}" for section, number in sorted(items)]


def test_every_item_is_cited_by_a_test() -> None:
    items = matches(ITEM)
    assert len(items) > 600
    assert names(items - cited(*TESTS)) == []


def test_every_citation_has_its_item() -> None:
    assert names(cited(*TESTS, *SOURCES) - matches(ITEM) - matches(CONSTANT)) == []
