"""S3.4 to S3.7: what handles and timer handles look like."""

import functools
import re
import sys

from support.gates import before, since
from support.loops import Loop


def call(*args: object) -> None:
    """A callback with a name and a place."""


HERE = re.escape(__file__)
# `call` as the reprs show it.
CALL = rf"call\({{args}}\) at {HERE}:{call.__code__.co_firstlineno}"


def shown(args: str) -> str:
    """Pattern of the callback text with arguments, whatever prefix the module has."""
    return CALL.format(args=re.escape(args))


class Named:
    """A class with a name."""

    def method(self) -> None:
        """A callback."""


def fields(text: str) -> str:
    """What follows the class name in a repr."""
    inside = re.fullmatch(r"<\w+ ?(.*)>", text)
    assert inside, text
    return inside[1]


@before(3, 13)
def test_repr_shows_arguments(loop: Loop) -> None:
    """S3.4, S3.5, S3.6."""
    assert re.fullmatch(shown("1, 'b'"), fields(repr(loop.call_soon(call, 1, "b"))))


@since(3, 13)
def test_repr_hides_arguments(loop: Loop) -> None:
    """S3.6: outside debug mode they may be secret."""
    assert re.fullmatch(shown(""), fields(repr(loop.call_soon(call, 1, "b"))))


def test_repr_in_debug_mode(loop: Loop) -> None:
    """S3.4, S3.5: arguments, and where the handle was made."""
    loop.set_debug(True)
    line = sys._getframe().f_lineno + 1
    handle = loop.call_soon(call, 1, "b")
    pattern = shown("1, 'b'") + rf" created at {HERE}:{line}"
    assert re.fullmatch(pattern, fields(repr(handle)))


def test_repr_shortens_arguments(loop: Loop) -> None:
    """S3.5: each through reprlib."""
    loop.set_debug(True)
    text = repr(loop.call_soon(call, list(range(100))))
    assert "call([0, 1, 2, 3, 4, 5, ...])" in text


def test_repr_of_partials(loop: Loop) -> None:
    """S3.5: nested arguments, one pair of parentheses each."""
    loop.set_debug(True)
    partial = functools.partial(functools.partial(call, 1), 2)
    text = repr(loop.call_soon(partial, 3))
    assert "call(1, 2)(3)" in text


def test_repr_of_builtin(loop: Loop) -> None:
    """S3.5: the qualified name, and no place for what is no plain function."""
    seen: list[int] = []
    assert fields(repr(loop.call_soon(seen.append, 1))) in ("list.append()", "list.append(1)")
    assert fields(repr(loop.call_soon(Named().method))) == "Named.method()"


def test_repr_of_timer(loop: Loop) -> None:
    """S3.4: when comes before the callback."""
    handle = loop.call_at(12.5, call)
    assert re.fullmatch(r"when=12\.5 " + shown(""), fields(repr(handle)))


def test_repr_of_cancelled(loop: Loop) -> None:
    """S3.4, S3.7: outside debug mode the callback text is lost."""
    handle, timer = loop.call_soon(call), loop.call_at(2.5, call)
    handle.cancel()
    timer.cancel()
    assert fields(repr(handle)) == "cancelled"
    assert fields(repr(timer)) == "cancelled when=2.5"


def test_repr_of_cancelled_in_debug_mode(loop: Loop) -> None:
    """S3.7: the text it had is kept."""
    loop.set_debug(True)
    handle = loop.call_soon(call, 1)
    text = fields(repr(handle))
    handle.cancel()
    assert fields(repr(handle)).startswith("cancelled ")
    assert text in repr(handle)
    assert text.startswith("call(1)")
