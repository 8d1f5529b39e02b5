"""Making ferroloop the loop that asyncio gives whoever asks it for one."""

from __future__ import annotations

import asyncio
import asyncio.unix_events
import sys

from ._loop import EventLoop
from ._policy import EventLoopPolicy, set_policy


def activate() -> None:
    """Put ferroloop behind the names by which a program asks asyncio for a loop, in this process only."""
    default_policy = (asyncio.unix_events, "_DefaultEventLoopPolicy")
    if sys.version_info < (3, 14):
        default_policy = (asyncio, "DefaultEventLoopPolicy")
    # Setting the policy to None makes asyncio look this name up.
    setattr(*default_policy, EventLoopPolicy)
    set_policy(EventLoopPolicy())
    for name in ("SelectorEventLoop", "EventLoop"):
        if hasattr(asyncio, name):
            setattr(asyncio, name, EventLoop)
