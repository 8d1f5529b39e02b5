"""The code samples of the documentation.

A fenced block is run as what its language says. A comment before it says what is special:

    <!-- file: app.py -->          it is a file, there when the later samples of its page run
    <!-- serves: /path -->         a command that serves port 8000 until it is told to end, asked for this path
    <!-- needs: gunicorn -->       and is run only where these projects are installed
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_BLOCK = re.compile(
    r"(?P<comments>(?:<!--.*?-->\n)*)^(?P<indent> *)```(?P<language>\S*).*\n(?P<code>(?:.*\n)*?)(?P=indent)```$", re.M
)
_COMMENT = re.compile(r"<!-- *(\w+): *(.*?) *-->")


@dataclass
class Sample:
    """One block."""

    page: Path
    line: int
    language: str
    code: str
    marks: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def samples() -> list[Sample]:
    """All of them, in order."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md")), ROOT / "examples" / "README.md"]
    return [sample for page in pages for sample in _of_page(page)]


def _of_page(page: Path) -> list[Sample]:
    found: list[Sample] = []
    files: dict[str, str] = {}
    text = page.read_text()
    for block in _BLOCK.finditer(text):
        marks = dict(_COMMENT.findall(block["comments"]))
        code = "".join(line.removeprefix(block["indent"]) for line in block["code"].splitlines(keepends=True))
        if name := marks.get("file"):
            files = files | {name: code}
        line = text.count("\n", 0, block.start("language")) + 1
        found.append(Sample(page, line, block["language"], code, marks, files))
    return found
