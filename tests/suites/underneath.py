"""A pytest plugin that puts ferroloop underneath a library's test suite, and looks which loops the suite makes.

`LOOP_UNDERNEATH` says which loop: `ferroloop` does what `python -m ferroloop -m pytest` would, in every process of
pytest-xdist too; `asyncio` changes nothing. The tally of the loops made goes into the report's properties.
"""

import os
from asyncio import base_events
from typing import Any

import pytest
from blockbuster import BlockBuster
from ferroloop import EventLoop, _activate
from ferroloop.contrib.blockbuster import allow

LOOP = os.environ["LOOP_UNDERNEATH"]

_tally = {"ferroloop": 0, "asyncio": 0}


def _count(cls: type[Any], name: str) -> None:
    original = cls.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        _tally[name] += 1
        original(self, *args, **kwargs)

    cls.__init__ = __init__


_count(EventLoop, "ferroloop")
_count(base_events.BaseEventLoop, "asyncio")
if LOOP == "ferroloop":
    _activate.activate()
    # Suites make detectors of their own, which have to be told.
    report_all = BlockBuster.activate

    def report_others(self: BlockBuster) -> None:
        allow(self)
        report_all(self)

    BlockBuster.activate = report_others


@pytest.fixture(autouse=True)
def _count_loops(record_property: Any) -> Any:
    """Write down with each test which loops it made."""
    before = dict(_tally)
    yield
    for name, made in _tally.items():
        record_property(name, made - before[name])


def pytest_report_header() -> str:
    """Say what is underneath."""
    return f"loop underneath: {LOOP}"
