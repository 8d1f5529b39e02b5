"""S22.15, S22.16: TLS connections after their end, and what is let go of."""

import asyncio
import gc
import logging
import warnings
import weakref
from typing import Any

import pytest
from support.certificates import HOST, client_context, server_context
from support.gates import since
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually, tcp_pair
from support.protocols import BufferedRecorder, Recorder
from support.tls import Peer, tls_connection

pytestmark = pytest.mark.tls_engines


def test_write_after_close(run: Run, logged: LogList) -> None:
    """S22.15: nothing is sent; from the fifth write on there is a warning."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            transport.close()
            for _ in range(5):
                transport.write(b"late")
            assert logged.texts(logging.WARNING) == []
            transport.write(b"late")
            transport.writelines([b"late"])
            assert logged.texts(logging.WARNING) == ["SSL connection is closed"] * 2
            assert await peer.receive(1) == b""
            await peer.unwrap()
            await eventually(lambda: protocol.lost)

    run(main())


def test_write_after_loss(run: Run, logged: LogList) -> None:
    """S22.15: the loss counts as one."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, _):
            transport.abort()
            await eventually(lambda: protocol.lost)
            for _ in range(4):
                transport.write(b"late")
            assert logged.texts(logging.WARNING) == []
            transport.write(b"late")
            assert logged.texts(logging.WARNING) == ["SSL connection is closed"]

    run(main())


def test_no_half_close(run: Run) -> None:
    """S22.14."""

    async def main() -> None:
        async with tls_connection() as (transport, _, peer):
            assert transport.can_write_eof() is False
            with pytest.raises(NotImplementedError):
                transport.write_eof()
            transport.write(b"x")
            assert await peer.receive(1) == b"x"

    run(main())


def test_true_from_eof_received(run: Run, logged: LogList) -> None:
    """S22.14: the connection ends all the same."""

    async def main() -> None:
        async with tls_connection(lambda: Recorder(eof_result=True)) as (_, protocol, peer):
            await peer.send_raw(peer.goodbye())
            await eventually(lambda: protocol.lost)
            assert protocol.names == ["made", "eof", "lost"]

    run(main())
    text = "returning true from eof_received() has no effect when using ssl"
    assert logged.texts(logging.WARNING) == [text]


@pytest.mark.parametrize("base", [Recorder, BufferedRecorder])
def test_eof_received_fails(run: Run, errors: list[dict[str, Any]], base: type) -> None:
    """S16.9."""

    def fail(self: Any) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        async with tls_connection(type("Broken", (base,), {"eof_received": fail})) as (_, protocol, peer):
            await peer.send_raw(peer.goodbye())
            await eventually(lambda: protocol.lost)
            assert [type(exc) for exc in protocol.lost] == [ZeroDivisionError]

    run(main())
    assert [context["message"] for context in errors] == ["Error calling eof_received()"]


@since(3, 14)
def test_is_closing_below(run: Run) -> None:
    """S22.18: the transport below was closed, by a server for example."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, _):
            transport._ssl_protocol._transport.close()
            assert transport.is_closing()
            await eventually(lambda: protocol.lost == [None])

    run(main())


def test_extra_info_after_loss(run: Run) -> None:
    """S22.11: what was known stays known."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            await peer.send_raw(peer.goodbye())
            await eventually(lambda: protocol.lost)
            assert transport.get_extra_info("cipher")
            assert transport.get_extra_info("peercert")
            assert transport.get_extra_info("peername") is None
            assert transport.get_extra_info("socket") is None
            assert transport.get_extra_info("socket", "gone") == "gone"
            assert transport.get_write_buffer_size() == 0
            assert transport.get_read_buffer_size() == 0

    run(main())


def test_unclosed(run: Run, loop: Loop) -> None:
    """S22.16."""

    async def main() -> list[str]:
        left, right = tcp_pair()
        peer = Peer(right, server_context())
        shaking = loop.create_task(peer.handshake())
        transport, protocol = await loop.create_connection(
            Recorder, sock=left, ssl=client_context(), server_hostname=HOST
        )
        await shaking
        # Nothing else holds it once nobody asks the socket for anything.
        transport._ssl_protocol._transport.pause_reading()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del transport, protocol
            gc.collect()
            gc.collect()
            texts = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
        right.close()
        del left
        return texts

    texts = run(main())
    assert texts.count("unclosed transport <asyncio._SSLProtocolTransport object>") == 1, texts


def test_closed_twice_forgets_the_context(run: Run) -> None:
    """S22: an application that keeps its transport for ever does not keep every certificate with it."""

    async def main() -> None:
        context = client_context()
        async with tls_connection(context=context) as (transport, protocol, peer):
            transport.close()
            await peer.unwrap()
            await eventually(lambda: protocol.lost)
            transport.close()
        ref = weakref.ref(context)
        del context
        keep = transport, protocol
        gc.collect()
        assert ref() is None
        del keep

    run(main())


def test_freed_without_collector(run: Run) -> None:
    """cpython#109534: a connection that has ended is in no cycle, the protocol's own link apart."""

    async def main() -> "weakref.ref[Any]":
        async with tls_connection() as (transport, protocol, peer):
            await peer.send_raw(peer.goodbye())
            await eventually(lambda: protocol.lost)
            protocol.transport = None
            return weakref.ref(transport._ssl_protocol)

    async def outer() -> None:
        gc.collect()
        gc.disable()
        try:
            ref = await main()
            await asyncio.sleep(0.01)
            assert ref() is None
        finally:
            gc.enable()

    run(outer())
