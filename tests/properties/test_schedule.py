"""S2, S4, S5, S6, S7: any program of scheduling calls has asyncio's trace."""

import asyncio

from hypothesis import example, given
from properties.schedule import Program, programs, trace
from support import loops

READER: Program = [("add_reader", [("soon", []), ("remove_reader",)]), ("soon", [("stop",)])]


@given(program=programs())
@example(program=READER)
@example(program=[("at", -1, []), ("soon", []), ("add_reader", []), ("cancel", 0)])
@example(program=[("later", 3, [("exit",)]), ("later", 3, [("stop",)]), ("soon", [("fail",)])])
def test_same_trace(loop_kind: str, program: Program) -> None:
    """S4.1-S4.12, S2.7-S2.10, S2.20, S5.1, S5.12: for asyncio itself, that it has one trace only."""
    expected = trace(asyncio.SelectorEventLoop, program)
    assert trace(loops.loop_class(loop_kind), program) == expected
