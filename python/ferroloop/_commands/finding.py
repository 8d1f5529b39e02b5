"""One line of the doctor's report."""

import enum
from typing import NamedTuple


class Mark(enum.Enum):
    """How to take a finding."""

    FACT = ""
    OK = "ok"
    NOTE = "note"
    PROBLEM = "PROBLEM"


class Finding(NamedTuple):
    """What was found, with what can be done about it."""

    text: str
    mark: Mark = Mark.FACT
