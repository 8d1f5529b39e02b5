"""Debug mode: when it is on from the start, and the tracking of coroutine origins (asyncio: Debug Mode)."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._loop import EventLoop

# Frames kept of a coroutine's origin; asyncio.constants.DEBUG_STACK_DEPTH.
_ORIGIN_DEPTH = 10


def is_debug_mode() -> bool:
    """Whether new loops start in debug mode: Python's dev mode, or PYTHONASYNCIODEBUG in a heeded environment."""
    return sys.flags.dev_mode or (not sys.flags.ignore_environment and bool(os.environ.get("PYTHONASYNCIODEBUG")))


def set_debug(loop: "EventLoop", enabled: bool) -> None:
    """Switch debug mode. On a running loop coroutine origins are tracked from a later iteration on."""
    loop._set_debug(enabled)
    if loop.is_running():
        loop.call_soon_threadsafe(loop._set_coroutine_origin_tracking, enabled)


def _set_coroutine_origin_tracking(loop: "EventLoop", enabled: bool) -> None:
    """Track origins in this thread, or put back the depth it had before."""
    if enabled and loop._saved_origin_depth is None:
        loop._saved_origin_depth = sys.get_coroutine_origin_tracking_depth()
        sys.set_coroutine_origin_tracking_depth(_ORIGIN_DEPTH)
    elif not enabled and loop._saved_origin_depth is not None:
        sys.set_coroutine_origin_tracking_depth(loop._saved_origin_depth)
        loop._saved_origin_depth = None
