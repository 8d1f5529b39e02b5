"""The committed lists: which tests are asked for, and which of those ferroloop is excused from."""

import fnmatch
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PYTHON = sys.version_info[:2]

_EXCEPTION = re.compile(r"(?P<test>\S+)\s+(?:\[(?P<versions>[^]]+)\]\s+)?#\s*(?P<reason>\S.*)")


class Selection:
    """selection.toml: what is left out of the suite, and why."""

    def __init__(self, path: Path = HERE / "selection.toml") -> None:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        self._excluded = [pattern for group in table["exclude"] for pattern in group["tests"]]

    def wants_module(self, module: str) -> bool:
        """Whether anything of the module is asked for: it is imported only then."""
        return f"{module}.*" not in self._excluded

    def wants(self, test: str) -> bool:
        """Whether the test (`module.Class.test_name`) is asked for."""
        return not any(fnmatch.fnmatchcase(test, pattern) for pattern in self._excluded)


@dataclass(frozen=True)
class Excuse:
    """One line of exceptions.txt."""

    test: str
    versions: str | None
    reason: str

    def applies(self, python: tuple[int, int] = PYTHON) -> bool:
        """Whether the line speaks of this Python; no versions mean every Python."""
        return self.versions is None or any(_within(python, span.strip()) for span in self.versions.split(","))


def _within(python: tuple[int, int], span: str) -> bool:
    first, _, last = span.partition("-")
    return _version(first) <= python <= _version(last or first)


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def excuses(path: Path = HERE / "exceptions.txt") -> dict[str, str]:
    """The tests this Python's ferroloop need not pass, with the reason. ValueError for a malformed or double line."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _EXCEPTION.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"not `test [versions] # reason`: {line!r}")
        excuse = Excuse(**match.groupdict())
        if not excuse.applies():
            continue
        if excuse.test in found:
            raise ValueError(f"listed twice: {excuse.test}")
        found[excuse.test] = excuse.reason
    return found
