"""A pytest plugin for suites that collect garbage after each test: they take a fifth of the time.

Not for all: what is frozen keeps alive what it refers to, and some tests look for leaks.
"""

import gc

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Keep the collector off the modules and tests, which live to the end anyway."""
    gc.freeze()
