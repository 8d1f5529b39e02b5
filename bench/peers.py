"""The event loops that are compared, each under the name of its package."""

import asyncio
import importlib
import subprocess
import sys

PEERS = ("asyncio", "uvloop", "rloop", "rsloop", "zuvloop", "aiofastnet", "ferroloop")

_VERSION = """
import importlib.metadata, platform, sys
__import__(sys.argv[1])
print(platform.python_version() if sys.argv[1] == "asyncio" else importlib.metadata.version(sys.argv[1]))
"""


def new_event_loop(peer: str) -> asyncio.AbstractEventLoop:
    """A fresh loop of `peer`. All of them spell their factory like asyncio does; aiofastnet has transports alone, and
    here they are uvloop's.
    """
    if peer == "aiofastnet":
        patched: asyncio.AbstractEventLoop = importlib.import_module(peer).patch_loop(new_event_loop("uvloop"))
        return patched
    loop: asyncio.AbstractEventLoop = importlib.import_module(peer).new_event_loop()
    return loop


def version(peer: str) -> str | None:
    """The version of `peer`, or None if it cannot be imported.

    Asked in another process: to import some peers is to change asyncio.
    """
    command = [sys.executable, "-c", _VERSION, peer]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return answer.stdout.strip() if answer.returncode == 0 else None
