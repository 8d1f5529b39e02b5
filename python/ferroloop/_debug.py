"""Debug mode and the tracking of coroutine origins that comes with it (asyncio: Debug Mode)."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._loop import EventLoop


# Frames kept of a coroutine's origin; asyncio.constants.DEBUG_STACK_DEPTH.
_ORIGIN_DEPTH = 10


def set_debug(loop: EventLoop, enabled: bool) -> None:
    """Switch debug mode. On a running loop coroutine origins are tracked from a later iteration on."""
    loop._set_debug(bool(enabled))
    if loop.is_running():
        loop.call_soon_threadsafe(loop._set_coroutine_origin_tracking, enabled)


def _set_coroutine_origin_tracking(loop: EventLoop, enabled: bool) -> None:
    """Track origins in this thread, or put back the depth it had before."""
    if enabled and loop._saved_origin_depth is None:
        loop._saved_origin_depth = sys.get_coroutine_origin_tracking_depth()
        sys.set_coroutine_origin_tracking_depth(_ORIGIN_DEPTH)
    elif not enabled and loop._saved_origin_depth is not None:
        sys.set_coroutine_origin_tracking_depth(loop._saved_origin_depth)
        loop._saved_origin_depth = None
