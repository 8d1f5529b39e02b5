"""A pytest plugin: the asynchronous tests of pytest-asyncio and anyio run on ferroloop.

In the `conftest.py` of the root directory:

    pytest_plugins = ["ferroloop.contrib.pytest"]
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from .._loop import EventLoop
from .._runner import new_event_loop


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], EventLoop]]:
    """pytest-asyncio's hook: the loops that tests run on."""
    return {"ferroloop": new_event_loop}


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """anyio's pytest plugin: the backend that tests run on, with its options."""
    return "asyncio", {"loop_factory": new_event_loop}
