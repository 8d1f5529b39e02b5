"""The event loops that are compared, each under the name of its package."""

import asyncio
import importlib
import subprocess
import sys
from typing import Any, cast

OURS = "ferroloop"
# What ratios are to.
REFERENCE = "uvloop"
# Transports over uvloop: it has nothing of its own where there are none.
FASTNET = "aiofastnet"
PEERS = ("asyncio", REFERENCE, "rloop", "rsloop", "zuvloop", FASTNET, OURS)
# Ours with the TLS that goes through the SSLObject's methods; for who asks for it by name.
PORTABLE = "ferroloop-portable"
# The minimal epoll server of the load generator, which some workloads can have instead of a loop.
NATIVE = "native"

_VERSION = """
import importlib, importlib.metadata, platform, sys
name = sys.argv[1]
module = importlib.import_module(name)
if name == "asyncio":
    print(platform.python_version())
else:
    print(getattr(module, "__version__", None) or importlib.metadata.version(name))
"""


def new_event_loop(peer: str) -> asyncio.AbstractEventLoop:
    """A fresh loop of `peer`. All of them spell their factory like asyncio does; aiofastnet has transports alone, and
    here they are uvloop's.
    """
    if peer == FASTNET:
        patched: asyncio.AbstractEventLoop = importlib.import_module(peer).patch_loop(new_event_loop("uvloop"))
        return patched
    if peer == PORTABLE:
        portable: Any = new_event_loop(OURS)
        portable.set_tls_engine("portable")
        return cast("asyncio.AbstractEventLoop", portable)
    loop: asyncio.AbstractEventLoop = importlib.import_module(peer).new_event_loop()
    return loop


def version(peer: str) -> str | None:
    """The version of `peer`, or None if it cannot be imported.

    Asked in another process: to import some peers is to change asyncio.
    """
    package = OURS if peer == PORTABLE else peer
    command = [sys.executable, "-c", _VERSION, package]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return answer.stdout.strip() if answer.returncode == 0 else None
