"""S22.3: TLS over TLS, as through an https proxy."""

import asyncio
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from support.certificates import HOST, client_context, server_context, stranger_context
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import eventually, reset
from support.protocols import BufferedRecorder, Recorder
from support.tls import Peer, tls_connection

pytestmark = pytest.mark.tls_engines

SIDES = pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])
# The transport that asyncio's TLS offers to what is above it could not be lost with an error.
GH_113214 = ferroloop_only("AttributeError, and the connection stays", "S22.3", when=sys.version_info < (3, 13))
BLOB = bytes(range(256)) * 4096


class Inner(Peer):
    """A peer whose network is another peer's application data."""

    def __init__(self, outer: Peer, context: ssl.SSLContext, server_side: bool = True) -> None:
        super().__init__(outer.sock, context, server_side)
        self.outer = outer

    async def send_raw(self, data: bytes) -> None:
        if data:
            await self.outer.send(data)

    async def take(self) -> None:
        self.incoming.write(await self.outer._drive(lambda: self.outer.tls.read(1 << 16)))


@contextlib.asynccontextmanager
async def nested(
    make: Callable[[], Any] = Recorder, server_side: bool = False, **options: Any
) -> AsyncIterator[tuple[Any, Any, Any, Inner]]:
    """The transport below, the one above, the protocol, and the peer."""
    loop = asyncio.get_running_loop()
    async with tls_connection(make, server_side=server_side) as (below, protocol, outer):
        ours, theirs = (server_context(), client_context()) if server_side else (client_context(), server_context())
        peer = Inner(outer, theirs, not server_side)
        shaking = loop.create_task(peer.handshake())
        name = None if server_side else HOST
        above = await loop.start_tls(below, protocol, ours, server_side=server_side, server_hostname=name, **options)
        await shaking
        yield below, above, protocol, peer


@SIDES
@pytest.mark.parametrize("make", [Recorder, lambda: BufferedRecorder(lambda hint: memoryview(bytearray(1000)))])
def test_there_and_back(run: Run, server_side: bool, make: Any) -> None:
    """S22.3, S22.13: data both ways, and a clean end of one after the other."""

    async def main() -> None:
        async with nested(make, server_side) as (below, above, protocol, peer):
            above.write(BLOB)
            assert await peer.receive(len(BLOB)) == BLOB
            await peer.send(BLOB)
            await eventually(lambda: len(protocol.data) == len(BLOB))
            assert protocol.data == BLOB
            assert above.get_extra_info("ssl_object") is not below.get_extra_info("ssl_object")
            assert above.get_extra_info("peername") == below.get_extra_info("peername")
            above.close()
            await peer.unwrap()
            await eventually(lambda: below.is_closing())
            await peer.outer.unwrap()
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [None]

    run(main(), 30)


def test_peer_closes(run: Run) -> None:
    """S22.13: the goodbye of the upper one ends the lower one, too."""

    async def main() -> None:
        async with nested() as (below, above, protocol, peer):
            await peer.send_raw(peer.records(b"bye") + peer.goodbye())
            await eventually(lambda: below.is_closing())
            await peer.unwrap()
            await peer.outer.unwrap()
            await eventually(lambda: protocol.lost)
            assert protocol.events == [("made",), ("data", b"bye"), ("eof",), ("lost", None)]
            assert above.is_closing()

    run(main())


@pytest.mark.parametrize("which", ["below", "above"])
def test_abort(run: Run, which: str) -> None:
    """S22: at once, on whichever of the two."""

    async def main() -> None:
        async with nested() as (below, above, protocol, _):
            (below if which == "below" else above).abort()
            await eventually(lambda: protocol.lost)
            assert protocol.events == [("made",), ("lost", None)]
            assert above.is_closing()

    run(main())


@GH_113214
@pytest.mark.parametrize("where", ["below", "above"])
def test_garbage(run: Run, where: str) -> None:
    """S22.10: in either, the protocol gets the error as the reason, and nothing is reported."""

    async def main() -> None:
        async with nested() as (_, above, protocol, peer):
            await (peer if where == "above" else peer.outer).send_raw(b"garbage, and more of it")
            await eventually(lambda: protocol.lost)
            assert [type(exc) for exc in protocol.lost] == [ssl.SSLError]
            assert above.is_closing()

    run(main())


def test_reset(run: Run) -> None:
    """S16.10: the network's error goes through both."""

    async def main() -> None:
        async with nested() as (_, _, protocol, peer):
            reset(peer.sock)
            await eventually(lambda: protocol.lost)
            assert [type(exc) for exc in protocol.lost] == [ConnectionResetError]

    run(main())


@GH_113214
def test_shutdown_timeout(run: Run) -> None:
    """S22.13: a peer that never says goodbye above."""

    async def main() -> None:
        async with nested(ssl_shutdown_timeout=0.05) as (_, above, protocol, _):
            above.close()
            await eventually(lambda: protocol.lost)
            assert [str(exc) for exc in protocol.lost] == ["SSL shutdown timed out"]

    run(main())


@GH_113214
@pytest.mark.parametrize("why", ["certificate", "garbage", "end", "time"])
def test_handshake_fails(run: Run, loop: Loop, why: str) -> None:
    """S22.6, S22.10: the error is the caller's, and the connection below is lost over it.

    The protocol, which knows the connection already, hears of that, except where time was up during the handshake.
    """
    expected: dict[str, Any] = {
        "certificate": ssl.SSLCertVerificationError,
        "garbage": ssl.SSLError,
        "end": ConnectionResetError,
        "time": ConnectionAbortedError,
    }
    context = stranger_context() if why == "certificate" else client_context()
    seconds = 0.05 if why == "time" else 10

    async def answer(peer: Inner) -> None:
        if why == "certificate":
            with contextlib.suppress(ssl.SSLError, OSError, EOFError):
                await peer.handshake()
        elif why == "garbage":
            await peer.send_raw(b"garbage, and more of it")
        elif why == "end":
            await peer.outer.send_raw(peer.outer.goodbye())

    async def main() -> None:
        async with tls_connection() as (below, protocol, outer):
            raw = below.get_extra_info("socket")
            answering = loop.create_task(answer(Inner(outer, server_context())))
            with pytest.raises(expected[why]):
                await loop.start_tls(below, protocol, context, server_hostname=HOST, ssl_handshake_timeout=seconds)
            assert below.is_closing()
            outer.sock.close()
            await asyncio.wait([answering])
            await eventually(lambda: raw.fileno() == -1)
            await asyncio.sleep(0)
            assert protocol.names == (["made"] if why == "time" else ["made", "lost"])

    run(main())


@pytest.mark.parametrize("turns", range(5))
def test_cancelled(run: Run, loop: Loop, turns: int) -> None:
    """S22.6: at whatever point, the connection below is closed once TLS has begun."""

    async def main() -> None:
        async with tls_connection() as (below, protocol, outer):
            upgrading = loop.create_task(loop.start_tls(below, protocol, client_context(), server_hostname=HOST))
            for _ in range(turns):
                await asyncio.sleep(0)
            upgrading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await upgrading
            assert below.is_closing() is (turns > 0)
            assert protocol.data == b""
            del outer

    run(main())
