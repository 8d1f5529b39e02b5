"""How handles and callbacks read in reprs, logs and error messages.

The words are asyncio's own (`asyncio.format_helpers`), so they follow the running Python: from 3.13 on arguments are
shown in debug mode only, since they may be secret.
"""

from __future__ import annotations

import sys
from asyncio import format_helpers
from traceback import StackSummary

from . import _ferroloop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def handle_repr(handle: _ferroloop.Handle) -> str:
    """`<Handle cancelled when=... callback created at file:line>`, of what is known."""
    if handle._repr is not None:
        return handle._repr
    info = [type(handle).__name__]
    if handle._cancelled:
        info.append("cancelled")
    if isinstance(handle, _ferroloop.TimerHandle):
        info.append(f"when={handle.when()}")
    if handle._callback is not None:
        info.append(callback_text(handle._callback, handle._args or (), handle._loop.get_debug()))
    if handle._source_traceback:
        frame = handle._source_traceback[-1]
        info.append(f"created at {frame.filename}:{frame.lineno}")
    return f"<{' '.join(info)}>"


def callback_text(callback: Callable[..., object], args: tuple[Any, ...], debug: bool) -> str:
    """The callback's qualified name, its arguments and, of a Python function, where it is defined."""
    if sys.version_info >= (3, 13):
        return format_helpers._format_callback_source(callback, args, debug=debug)
    return format_helpers._format_callback_source(callback, args)


def source_traceback() -> StackSummary:
    """The innermost frames of the Python code that called into the native loop (asyncio's debug depth: 10).

    None where a thread that runs no Python code has called.
    """
    caller = sys._getframe().f_back
    return StackSummary() if caller is None else format_helpers.extract_stack(caller)
