"""What new loops begin with, where the environment says so."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    _T = TypeVar("_T")


def default(name: str, read: Callable[[str], _T], otherwise: str) -> _T:
    """Return what `read` makes of the variable `name`, or of `otherwise` where that is empty or not set.

    Raises ValueError for what `read` refuses, with the name.
    """
    try:
        return read(os.environ.get(name) or otherwise)
    except ValueError as exc:
        raise ValueError(f"{name}: {exc}") from None
