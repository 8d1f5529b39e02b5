"""Modules that are imported when one of their functions is first used, so that other programs do not pay for them.

A method whose module is still to come is a descriptor in the class. The first access, by whatever way, imports the
module and puts the function in the descriptor's place: from then on it is a method like any other.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def later(*modules: str) -> Iterator[Module]:
    """Stand-ins for modules of this package, to make methods of."""
    return map(Module, modules)


class Module:
    """Stands for a module: each of its attributes is a method of the class that it is put into."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, function: str) -> Method:
        return Method(self._name, function)


class Method:
    """Stands for a function until somebody looks at it."""

    def __init__(self, module: str, function: str) -> None:
        self._module = module
        self._function = function

    def __set_name__(self, owner: type, name: str) -> None:
        self._place = owner, name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        function = getattr(import_module(f".{self._module}", __package__), self._function)
        setattr(*self._place, function)
        return function.__get__(instance, owner)
