"""The asynchronous tests of somebody's project run on ferroloop when their conftest.py asks for it."""

import subprocess
import sys
from pathlib import Path

CONFTEST = 'pytest_plugins = ["ferroloop.contrib.pytest"]\n'
TESTS = """
import asyncio
import anyio
import pytest
from ferroloop import EventLoop

@pytest.mark.asyncio
async def test_pytest_asyncio():
    assert type(asyncio.get_running_loop()) is EventLoop

@pytest.mark.anyio
async def test_anyio():
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)
    assert type(asyncio.get_running_loop()) is EventLoop
"""


def test_plugin(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [sys.executable, "-m", "pytest", "-v", "--strict-markers", "-W", "error"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
