"""The event loop policy, for Pythons that have policies (asyncio: Policies)."""

import sys
from asyncio import events

from ._loop import EventLoop

if sys.version_info >= (3, 14):
    # The public names warn of their removal.
    _Base = events._BaseDefaultEventLoopPolicy
    set_policy = events._set_event_loop_policy
else:
    _Base = events.BaseDefaultEventLoopPolicy
    set_policy = events.set_event_loop_policy


class EventLoopPolicy(_Base):
    """Makes ferroloop the loop of `asyncio.run`, `asyncio.new_event_loop` and the like.

    Everything else, such as when `get_event_loop` makes a loop, is the running Python's own rule.
    """

    _loop_factory = EventLoop
