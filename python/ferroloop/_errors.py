"""What happens to exceptions nobody awaits: the loop's exception handler (asyncio: Error Handling API).

Three layers, none of which may take the loop down: the handler the user set, the default handler, and the log. Exit
requests (SystemExit, KeyboardInterrupt) pass through all of them.
"""

from __future__ import annotations

import sys
import traceback
from asyncio.log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context
    from typing import Any, TypeAlias

    from ._loop import EventLoop

    ErrorContext: TypeAlias = dict[str, Any]
    ExceptionHandler: TypeAlias = Callable[[asyncio.AbstractEventLoop, ErrorContext], object]


_TRACEBACK_TITLES = {
    "source_traceback": "Object created at (most recent call last):\n",
    "handle_traceback": "Handle created at (most recent call last):\n",
}


def get_exception_handler(loop: EventLoop) -> ExceptionHandler | None:
    """Return the handler set by `set_exception_handler`, None if it is the default one."""
    return loop._exception_handler


def set_exception_handler(loop: EventLoop, handler: ExceptionHandler | None) -> None:
    """Call `handler(loop, context)` for errors from now on; None restores the default handler.

    Raises TypeError if `handler` is neither callable nor None.
    """
    if handler is not None and not callable(handler):
        raise TypeError(f"A callable object or None is expected, got {handler!r}")
    loop._exception_handler = handler


def default_exception_handler(loop: EventLoop, context: ErrorContext) -> None:
    """Log `context` at level ERROR: its message, then one line per other key in sorted order.

    In debug mode the place where the running handle was created is added to `context` as `handle_traceback`, unless
    the context tells the origin of the object itself.
    """
    handle = loop._current_handle
    if "source_traceback" not in context and handle is not None and handle._source_traceback:
        context["handle_traceback"] = handle._source_traceback
    lines = [context.get("message") or "Unhandled exception in event loop"]
    lines += [f"{key}: {_value_text(key, context[key])}" for key in sorted(context.keys() - {"message", "exception"})]
    exception = context.get("exception")
    exc_info = (type(exception), exception, exception.__traceback__) if exception is not None else False
    logger.error("\n".join(lines), exc_info=exc_info)


def _value_text(key: str, value: Any) -> str:
    title = _TRACEBACK_TITLES.get(key)
    if title is None:
        return repr(value)
    return title + "".join(traceback.format_list(value)).rstrip()


def call_exception_handler(loop: EventLoop, context: ErrorContext) -> None:
    """Report an error through the handler that is set, or the default one.

    `context` maps `message` to a str and optionally: `exception`, `future`, `task`, `handle`, `protocol`, `transport`,
    `socket`, `asyncgen`, `source_traceback`, `handle_traceback`; other keys are allowed. Raises nothing but SystemExit
    and KeyboardInterrupt.
    """
    handler = loop._exception_handler
    if handler is None:
        _call_default(loop, context, "Exception in default exception handler")
        return
    try:
        _call_custom(loop, handler, context)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        _call_default(
            loop,
            {"message": "Unhandled error in exception handler", "exception": exc, "context": context},
            "Exception in default exception handler while handling an unexpected error in custom exception handler",
        )


def _call_default(loop: EventLoop, context: ErrorContext, complaint: str) -> None:
    """Call the default handler, which a subclass may have overridden; log `complaint` if it fails."""
    try:
        loop.default_exception_handler(context)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        logger.error(complaint, exc_info=True)


def _call_custom(loop: EventLoop, handler: ExceptionHandler, context: ErrorContext) -> None:
    run_in = _origin(context) if sys.version_info >= (3, 12) else None
    if run_in is None:
        handler(loop, context)
    else:
        run_in.run(handler, loop, context)


def _origin(context: ErrorContext) -> Context | None:
    """The contextvars context of whatever failed, if it tells (the future may be a task)."""
    things = (context.get(key) for key in ("task", "future", "handle"))
    thing = next((thing for thing in things if thing is not None), None)
    get_context = getattr(thing, "get_context", None)
    found = None if get_context is None else get_context()
    return found if hasattr(found, "run") else None
