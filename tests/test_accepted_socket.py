"""S21: connect_accepted_socket."""

import asyncio
import logging
import re
import socket
import sys
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually, ssl_socket, tcp_pair, unix_pair
from support.protocols import Recorder


def never() -> Any:
    """A protocol factory that must not be called."""
    raise AssertionError("protocol_factory was called")


def test_datagram_socket(loop: Loop, run: Run) -> None:
    """S21.1."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        text = re.escape(f"A Stream Socket was expected, got {sock!r}")
        with pytest.raises(ValueError, match=f"^{text}$"):
            run(loop.connect_accepted_socket(never, sock))


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_timeouts_without_ssl(loop: Loop, run: Run, name: str) -> None:
    """S21.1."""
    with socket.socket() as sock, pytest.raises(ValueError, match=f"^{name} is only meaningful with ssl$"):
        run(loop.connect_accepted_socket(never, sock, **{name: 1.0}))


def test_ssl_socket(loop: Loop, run: Run) -> None:
    """S21.1."""
    with ssl_socket() as sock, pytest.raises(TypeError, match=r"^Socket cannot be of type SSLSocket$"):
        run(loop.connect_accepted_socket(never, sock))


@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
def test_adopts_the_socket(loop: Loop, run: Run, pair: Any) -> None:
    """S21: the socket becomes the transport's, non-blocking."""
    left, right = pair()
    left.setblocking(True)

    async def main() -> None:
        _, protocol = await loop.connect_accepted_socket(Recorder, left)
        assert protocol.names == ["made"]
        assert left.gettimeout() == 0
        right.send(b"data")
        await eventually(lambda: protocol.data == b"data")
        right.close()
        await eventually(lambda: protocol.lost == [None])
        assert left.fileno() == -1

    run(main())


@ferroloop_only("the socket leaked", "S14.20", sys.version_info < (3, 14))
def test_failing_factory(loop: Loop, run: Run) -> None:
    """S14.20."""

    def factory() -> Any:
        raise ZeroDivisionError

    left, right = tcp_pair()
    with pytest.raises(ZeroDivisionError):
        run(loop.connect_accepted_socket(factory, left))
    assert left.fileno() == -1
    right.close()


def test_debug_log(loop: Loop, run: Run, logged: LogList) -> None:
    """S21.3."""
    loop.set_debug(True)
    left, right = tcp_pair()

    async def main() -> None:
        transport, protocol = await loop.connect_accepted_socket(Recorder, left)
        texts = [t for t in logged.texts(logging.DEBUG) if " handled: (" in t]
        assert len(texts) == 1
        assert re.match(r"<asyncio\.TransportSocket fd=\d+.*> handled: \(<", texts[0])
        assert texts[0].endswith(f", {protocol!r})")
        transport.abort()
        await asyncio.sleep(0)

    run(main())
    right.close()
