"""A drop-in event loop for asyncio, in Rust.

    ferroloop.run(main())
    asyncio.Runner(loop_factory=ferroloop.new_event_loop)
    python -m ferroloop app.py

Importing this package changes nothing in asyncio.
"""

import sys

if sys.platform == "win32":
    raise ImportError("Signals are not really supported on Windows")

from ._ferroloop import __version__
from ._loop import EventLoop
from ._runner import new_event_loop, run
from ._watchers import (
    AbstractChildWatcher,
    FastChildWatcher,
    MultiLoopChildWatcher,
    PidfdChildWatcher,
    SafeChildWatcher,
    ThreadedChildWatcher,
    can_use_pidfd,
    get_child_watcher,
    set_child_watcher,
)

SelectorEventLoop = EventLoop

__all__ = [
    "AbstractChildWatcher",
    "EventLoop",
    "FastChildWatcher",
    "MultiLoopChildWatcher",
    "PidfdChildWatcher",
    "SafeChildWatcher",
    "SelectorEventLoop",
    "ThreadedChildWatcher",
    "__version__",
    "can_use_pidfd",
    "get_child_watcher",
    "new_event_loop",
    "run",
    "set_child_watcher",
]

if sys.version_info < (3, 16):
    from ._policy import EventLoopPolicy
    from ._runner import install

    DefaultEventLoopPolicy = EventLoopPolicy

    __all__ += ["DefaultEventLoopPolicy", "EventLoopPolicy", "install"]

# Classes go by the name they are used by, in reprs and logs, wherever they are defined.
for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = __name__
del _name
