"""S16, S17: any use of a connection shows both ends what asyncio's would."""

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from properties import tcp
from properties.stream import KINDS, LARGE, Connection, Outcome, Step, scripts
from support import loops
from support.gates import since
from support.loops import NewLoop


def outcome(
    make: NewLoop, script: list[Step], inside: bool, eof: bool, kind: str, connection: type[Connection] = Connection
) -> Outcome:
    """Play the script on a fresh loop."""
    loop = make()
    try:
        return connection(loop, inside, eof, KINDS[kind]).run(script)
    finally:
        loop.close()


@since(3, 14)
@pytest.mark.parametrize("kind", KINDS)
@given(script=scripts(), inside=st.booleans(), eof=st.booleans())
@example(script=[("write", 1 << 20), ("close",), ("peer_drain",)], inside=True, eof=False)
@example(script=[("writelines", [1 << 20]), ("abort",), ("writelines", [])], inside=False, eof=False)
@example(script=[("write", 1 << 20), ("peer_close",), ("turns", 3)], inside=False, eof=True)
@example(script=[("write", 1 << 20), ("peer_close",), ("writelines", [100])], inside=False, eof=False)
@example(script=[("write", 1 << 20), ("limits", 1 << 24), ("writelines", [0])], inside=False, eof=False)
def test_same_outcome(loop_kind: str, kind: str, script: list[Step], inside: bool, eof: bool) -> None:
    """S16.8-S16.24, S17.1-S17.4: events, bytes both ways, the way it ended."""
    expected = outcome(asyncio.SelectorEventLoop, script, inside, eof, kind)
    assert outcome(loops.factory(loop_kind), script, inside, eof, kind) == expected


@pytest.mark.parametrize("kind", KINDS)
@given(script=tcp.scripts(), inside=st.booleans(), eof=st.booleans())
@example(script=[("write", LARGE), ("write", 100), ("limits", 0), ("peer_drain",)], inside=False, eof=True)
@example(script=[("write", LARGE), ("write", 100), ("abort",), ("peer_drain",)], inside=True, eof=False)
@example(script=[("pause_reading",), ("peer_send", 1000), ("turns", 3), ("resume_reading",)], inside=False, eof=True)
@example(script=[("write", LARGE), ("write_eof",), ("close",), ("peer_send", 1)], inside=True, eof=False)
@example(script=[("write", LARGE), ("peer_reset",), ("write", 100)], inside=True, eof=False)
@example(script=[("peer_close",), ("write", 100), ("write", 1)], inside=False, eof=True)
def test_same_outcome_over_tcp(loop_kind: str, kind: str, script: list[Step], inside: bool, eof: bool) -> None:
    """S16.8-S16.24, S17.1-S17.4: the same, and how the peer sees it end."""
    expected = outcome(asyncio.SelectorEventLoop, script, inside, eof, kind, tcp.TcpConnection)
    assert outcome(loops.factory(loop_kind), script, inside, eof, kind, tcp.TcpConnection) == expected
