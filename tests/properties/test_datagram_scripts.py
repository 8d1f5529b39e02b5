"""S27: any use of a datagram endpoint shows both ends what asyncio's would."""

import asyncio

from hypothesis import example, given
from hypothesis import strategies as st
from properties.datagram import TOO_LONG, Endpoint, Outcome, Step, scripts
from support import loops
from support.gates import since
from support.loops import NewLoop


def outcome(make: NewLoop, script: list[Step], inside: bool, connected: bool) -> Outcome:
    """Play the script on a fresh loop."""
    loop = make()
    try:
        return Endpoint(loop, inside, connected).run(script)
    finally:
        loop.close()


# 3.13.0 never subtracts what it has counted of a datagram.
@since(3, 14)
@given(script=scripts(), inside=st.booleans(), connected=st.booleans())
@example(script=[("sendto", 1, 15), ("close",), ("peer_take",)], inside=True, connected=True)
@example(script=[("sendto", 0, 15), ("sendto", TOO_LONG), ("sendto", 1), ("peer_take",)], inside=False, connected=True)
@example(script=[("sendto", 100, 15), ("peer_close",), ("turns", 3)], inside=False, connected=False)
def test_same_outcome(loop_kind: str, script: list[Step], inside: bool, connected: bool) -> None:
    """S27.2-S27.11, S17.1-S17.4: events, datagrams both ways, the way it ended."""
    expected = outcome(asyncio.SelectorEventLoop, script, inside, connected)
    assert outcome(loops.factory(loop_kind), script, inside, connected) == expected
