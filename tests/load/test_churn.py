"""Connections that come and go while the application fails: nothing may stay and nothing may be lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.gates import linux_only
from support.scripts import environment

pytestmark = [pytest.mark.load, linux_only]

_SERVER = Path(__file__).with_name("churn_server.py")
# Without the allocator's cache for each thread, so that what malloc has given out is what is in use.
_EXACT = "glibc.malloc.tcache_count=0"
# Tables of the loop that double when a wave has more connections open than all before. One buffer left by each
# connection would be megabytes.
_BYTES_TOLERATED = 64 * 1024


def test_nothing_stays_of_failing_reset_and_closed_connections(loop_kind: str, connections: int) -> None:
    """S9.14, S16.9, S16.21, S16.22, S17.5: half of the connections are reset, callbacks raise at random."""
    command = [sys.executable, str(_SERVER), loop_kind, str(connections)]
    env = environment(GLIBC_TUNABLES=_EXACT)
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60 + connections // 50)
    assert done.returncode == 0, done.stderr
    left = json.loads(done.stdout)
    assert left["unexpected"] == [], done.stderr
    assert left["made"] == left["lost"] > connections // 2
    assert left["reported"] == left["raised"] > 0
    assert left["alive"] == 0
    assert left["growth"]["fds"] == 0
    # Half of the connections came after the first look. One object left by each would be twice as much.
    assert left["growth"]["blocks"] < connections // 4
    assert left["growth"]["bytes"] < _BYTES_TOLERATED
