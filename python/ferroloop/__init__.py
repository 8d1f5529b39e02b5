"""A drop-in event loop for asyncio, in Rust.

    ferroloop.run(main())
    asyncio.Runner(loop_factory=ferroloop.new_event_loop)
    python -m ferroloop app.py

Importing this package changes nothing in asyncio.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("Signals are not really supported on Windows")

from importlib import import_module

from ._ferroloop import __version__, can_use_pidfd
from ._loop import EventLoop
from ._runner import new_event_loop, run

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
    "start_guest_run",
]
if sys.version_info < (3, 16):
    __all__ += ["DefaultEventLoopPolicy", "EventLoopPolicy", "install"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._guest import start_guest_run
    from ._watchers import (
        AbstractChildWatcher,
        FastChildWatcher,
        MultiLoopChildWatcher,
        PidfdChildWatcher,
        SafeChildWatcher,
        ThreadedChildWatcher,
        get_child_watcher,
        set_child_watcher,
    )

    if sys.version_info < (3, 16):
        from ._policy import DefaultEventLoopPolicy, EventLoopPolicy, install
else:

    def __getattr__(name: str) -> object:
        """Import a name of `__all__` that most programs do without (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = "._guest" if name == "start_guest_run" else "._watchers" if "watcher" in name.lower() else "._policy"
        value = globals()[name] = getattr(import_module(home, __name__), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
