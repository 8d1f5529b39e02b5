"""S22.10: handshakes that fail."""

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.certificates import HOST, client_context, server_context, stranger_context
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually, reset, tcp_pair
from support.protocols import Recorder
from support.tls import Peer, tls_connection

pytestmark = pytest.mark.tls_engines

SIDES = pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])


async def shake_alone(loop: Loop, peer: Callable[[socket.socket], Any], **options: Any) -> Recorder:
    """A client connection whose peer is a coroutine function of the raw socket; returns the protocol."""
    left, right = tcp_pair()
    protocol = Recorder()
    other = loop.create_task(peer(right))
    options = {"ssl": client_context(), "server_hostname": HOST, **options}
    try:
        await loop.create_connection(lambda: protocol, sock=left, **options)
    finally:
        await asyncio.wait([other])
        right.close()
        await eventually(lambda: left.fileno() == -1)
        if not other.cancelled() and (error := other.exception()) and not isinstance(error, ssl.SSLError | OSError):
            raise error
    return protocol


async def silence(sock: socket.socket) -> None:
    """A peer that says nothing."""


@SIDES
def test_no_version_in_common(run: Run, server_side: bool) -> None:
    """S22.10."""

    async def main() -> None:
        ours, theirs = [server_context(), client_context()][:: 1 if server_side else -1]
        ours.minimum_version = ssl.TLSVersion.TLSv1_3
        theirs.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError) as caught:
            async with tls_connection(server_side=server_side, context=ours, peer_context=theirs):
                raise AssertionError("connected")
        assert type(caught.value) is ssl.SSLError

    run(main())


def test_no_client_certificate(run: Run) -> None:
    """S22.10: the server refuses."""

    async def main() -> None:
        with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
            async with tls_connection(server_side=True, context=server_context(ask_client=True)):
                raise AssertionError("connected")

    run(main())


def test_handshake_timeout(run: Run, loop: Loop) -> None:
    """S22.10: nothing is reported, the protocol never hears of the connection."""

    async def main() -> None:
        text = r"SSL handshake is taking longer than 0\.05 seconds: aborting the connection"
        with pytest.raises(ConnectionAbortedError, match=rf"^{text}$"):
            await shake_alone(loop, silence, ssl_handshake_timeout=0.05)

    run(main())


def test_eof_in_handshake(run: Run, loop: Loop) -> None:
    """S22.10."""

    async def hang_up(sock: socket.socket) -> None:
        sock.close()

    async def main() -> None:
        with pytest.raises(ConnectionResetError):
            await shake_alone(loop, hang_up)

    run(main())


def test_truncated_handshake(run: Run, loop: Loop) -> None:
    """S22.10: the stream ends within the server's answer."""

    async def cut(sock: socket.socket) -> None:
        peer = Peer(sock, server_context())
        await peer.take()
        with contextlib.suppress(ssl.SSLWantReadError):
            peer.tls.do_handshake()
        await peer.send_raw(peer.outgoing.read()[:-7])
        sock.close()

    async def main() -> None:
        with pytest.raises(ConnectionResetError):
            await shake_alone(loop, cut)

    run(main())


def test_reset_in_handshake(run: Run, loop: Loop) -> None:
    """S22.10."""

    async def refuse(sock: socket.socket) -> None:
        await Peer(sock, server_context()).take()
        reset(sock)

    async def main() -> None:
        with pytest.raises(ConnectionResetError):
            await shake_alone(loop, refuse)

    run(main())


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 100, b"\0" * 64]
)
def test_garbage_in_handshake(run: Run, loop: Loop, garbage: bytes) -> None:
    """S22.10: an SSLError, as it is."""

    async def talk(sock: socket.socket) -> None:
        sock.send(garbage)

    async def main() -> None:
        with pytest.raises(ssl.SSLError) as caught:
            await shake_alone(loop, talk)
        assert type(caught.value) is ssl.SSLError

    run(main())


def test_untrusted_server(run: Run, loop: Loop, logged: LogList) -> None:
    """S22.10: the error is the caller's; debug mode tells why in the log."""
    loop.set_debug(True)

    async def main() -> None:
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            async with tls_connection(context=stranger_context()):
                raise AssertionError("connected")
        assert caught.value.verify_code

    run(main())
    assert any("SSL handshake failed on verifying the certificate" in text for text in logged.texts(logging.DEBUG))
    assert logged.texts(logging.ERROR) == []


@ferroloop_only("closes without a word, so the peer sees no more than a reset", "S22.10")
def test_alert_says_what_was_wrong(run: Run) -> None:
    """RFC 8446, 6.2: the peer of a failed handshake is told why."""

    async def main() -> None:
        left, right = tcp_pair()
        peer = Peer(right, server_context())
        loop = asyncio.get_running_loop()
        made = asyncio.ensure_future(
            loop.create_connection(Recorder, sock=left, ssl=stranger_context(), server_hostname=HOST)
        )

        async def listen() -> None:
            await peer.handshake()
            await peer.receive(1)

        with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
            await listen()
        with pytest.raises(ssl.SSLCertVerificationError):
            await made
        right.close()

    run(main())


def test_protocol_factory_fails(run: Run, loop: Loop) -> None:
    """S14: the error is the caller's, and the socket is closed."""

    async def main() -> None:
        left, right = tcp_pair()
        with pytest.raises(ZeroDivisionError):
            await loop.create_connection(lambda: 1 // 0, sock=left, ssl=client_context(), server_hostname=HOST)
        left.close()
        right.close()

    run(main())


def test_connection_made_fails(run: Run, loop: Loop, errors: list[dict[str, Any]]) -> None:
    """S16.9: reported; the connection is lost over it, and so is the caller's."""

    class Broken(Recorder):
        def connection_made(self, transport: Any) -> None:
            raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with tls_connection(Broken):
                raise AssertionError("connected")

    run(main())
    assert [type(context["exception"]) for context in errors] == [ZeroDivisionError]


@pytest.mark.parametrize("turns", range(6))
def test_cancelled(run: Run, loop: Loop, turns: int) -> None:
    """S14: at whatever point the caller is cancelled, the socket is closed."""
    if turns <= 1 and "ferroloop" not in type(loop).__module__:
        pytest.skip("asyncio forgets a close before the handshake began, and goes on with it")

    async def main() -> None:
        left, right = tcp_pair()
        making = asyncio.ensure_future(
            loop.create_connection(Recorder, sock=left, ssl=client_context(), server_hostname=HOST)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        await eventually(lambda: turns == 0 or left.fileno() == -1)
        left.close()
        right.close()

    run(main())


@ferroloop_only("keeps the error in the waiter, and that in its own traceback", "S22", when=sys.version_info < (3, 14))
def test_failure_leaves_no_cycle(run: Run, loop: Loop) -> None:
    """S22 (cpython#109534): a failed handshake is freed by reference counts alone."""

    async def main() -> "weakref.ref[ssl.SSLContext]":
        context = stranger_context()
        left, right = tcp_pair()
        peer = Peer(right, server_context())
        shaking = loop.create_task(peer.handshake())
        with contextlib.suppress(ssl.SSLCertVerificationError):
            await loop.create_connection(Recorder, sock=left, ssl=context, server_hostname=HOST)
        await asyncio.wait([shaking])
        shaking.exception()
        right.close()
        return weakref.ref(context)

    async def spin(ref: "weakref.ref[ssl.SSLContext]") -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        assert ref() is None

    async def both() -> None:
        gc.collect()
        gc.disable()
        try:
            await spin(await main())
        finally:
            gc.enable()

    run(both())
