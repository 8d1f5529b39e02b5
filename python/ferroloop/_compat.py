"""What differs between the Pythons ferroloop supports, where a plain `sys.version_info` check would not do."""

from __future__ import annotations

import functools
import inspect
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    _Recipe = TypeVar("_Recipe", bound=Callable[..., Any])

# Parameters of coroutine functions, and the version of Python that brought them.
_NEW_PARAMETERS = {
    "create_connection": ("all_errors", (3, 12)),
    "create_server": ("keep_alive", (3, 13)),
    "create_unix_server": ("cleanup_socket", (3, 13)),
    "shutdown_default_executor": ("timeout", (3, 12)),
}


def has_gil() -> bool:
    """Whether threads take turns in this process."""
    return getattr(sys, "_is_gil_enabled", lambda: True)()


def of_this_python(recipe: _Recipe) -> _Recipe:
    """Take a parameter away from a coroutine function on Pythons that do not have it yet.

    There the call fails as if the parameter had never been written: code that runs on ferroloop must not depend on
    what the same Python's own loop refuses.
    """
    parameter, version = _NEW_PARAMETERS[recipe.__name__]
    return recipe if sys.version_info >= version else _without(recipe, parameter)


def _without(recipe: Any, parameter: str) -> Any:
    whole = inspect.signature(recipe)
    signature = whole.replace(parameters=[p for p in whole.parameters.values() if p.name != parameter])

    @functools.wraps(recipe)
    async def gated(*args: Any, **kwargs: Any) -> Any:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(f"{recipe.__qualname__}() {exc}") from None
        return await recipe(*args, **kwargs)

    gated.__signature__ = signature  # type: ignore[attr-defined]
    return gated
