"""Safety under load. `pytest -m load` runs these alone, `-m "not load"` leaves them out.

`FERROLOOP_LOAD_CONNECTIONS=10000` opens as many connections as the project promises to survive; the
default is small enough for every run.
"""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line("markers", "load: many connections at once")


@pytest.fixture
def connections() -> int:
    """How many connections come and go."""
    return int(os.environ.get("FERROLOOP_LOAD_CONNECTIONS", "2000"))
