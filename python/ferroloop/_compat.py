"""What differs between the Pythons ferroloop supports, where a plain `sys.version_info` check would not do."""

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Recipe = Callable[_P, Coroutine[Any, Any, _R]]


def since(version: tuple[int, int], parameter: str) -> Callable[[_Recipe[_P, _R]], _Recipe[_P, _R]]:
    """Take `parameter` away from a coroutine function on Pythons before `version`.

    There the call fails as if the parameter had never been written: code that runs on ferroloop must not depend on
    what the same Python's own loop refuses.
    """

    def gate(recipe: _Recipe[_P, _R]) -> _Recipe[_P, _R]:
        return recipe if sys.version_info >= version else _without(recipe, parameter)

    return gate


def _without(recipe: _Recipe[_P, _R], parameter: str) -> _Recipe[_P, _R]:
    whole = inspect.signature(recipe)
    signature = whole.replace(parameters=[p for p in whole.parameters.values() if p.name != parameter])

    @functools.wraps(recipe)
    async def gated(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(f"{recipe.__qualname__}() {exc}") from None
        return await recipe(*args, **kwargs)

    gated.__signature__ = signature  # type: ignore[attr-defined]
    return gated
