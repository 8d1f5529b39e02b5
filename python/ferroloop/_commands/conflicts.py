"""Settings and modules that would give a program another loop, or another asyncio, than it expects."""

import asyncio
import importlib.util
import os
import sys
import sysconfig
from asyncio import events
from collections.abc import Callable, Iterator

from .finding import Finding, Mark

# Loops that servers choose by themselves when they are installed: uvicorn's `--loop auto` and granian's `--loop auto`.
_CHOSEN_BY_SERVERS = ("uvloop", "rloop")
_PATCHES = ("gevent.monkey", "eventlet.patcher", "nest_asyncio")


def findings() -> Iterator[Finding]:
    """Everything of the kind, or that there is nothing."""
    found = [finding for look in LOOKS for finding in look()]
    yield from found or [Finding("nothing", Mark.OK)]


def policy() -> Iterator[Finding]:
    """A policy that a `.pth` file or a sitecustomize module has set, before any program began."""
    # The public way to ask would make one, and warns from 3.14 on.
    current = getattr(events, "_event_loop_policy", None)
    kind = type(current)
    if current is not None and kind.__module__.partition(".")[0] != "ferroloop":
        yield Finding(
            f"an event loop policy is set at start: {kind.__module__}.{kind.__qualname__}; "
            "asyncio.run() uses it unless told otherwise, ferroloop.run() and `python -m ferroloop` do not",
            Mark.NOTE,
        )


def other_loops() -> Iterator[Finding]:
    """Loops that some servers take without being asked."""
    for name in _CHOSEN_BY_SERVERS:
        if importlib.util.find_spec(name) is not None:
            yield Finding(f"{name} is installed: servers with `--loop auto` may choose it; name the loop", Mark.NOTE)


def patches() -> Iterator[Finding]:
    """Modules that have replaced parts of the standard library at start."""
    for name in _PATCHES:
        if name in sys.modules:
            yield Finding(f"{name} is loaded at start, and changes what asyncio relies on", Mark.PROBLEM)


def shadows() -> Iterator[Finding]:
    """A module of the user's in the place of the standard library's."""
    if os.path.dirname(os.path.dirname(asyncio.__file__)) != sysconfig.get_path("stdlib"):
        yield Finding(f"asyncio is not the standard library's: {asyncio.__file__}", Mark.PROBLEM)


def slow_modes() -> Iterator[Finding]:
    """Switches for development that cost speed."""
    if sys.flags.dev_mode or os.environ.get("PYTHONASYNCIODEBUG"):
        yield Finding("asyncio's debug mode is on (PYTHONASYNCIODEBUG or -X dev): every call is slower", Mark.NOTE)
    if sys.gettrace() is not None or sys.getprofile() is not None:
        yield Finding("a trace or profile function is set: every call is slower", Mark.NOTE)


LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (policy, other_loops, patches, shadows, slow_modes)
