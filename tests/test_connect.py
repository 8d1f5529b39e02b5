"""S14: create_connection."""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import re
import socket
import ssl
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from support.gates import before, ferroloop_only, since
from support.log import LogList
from support.loops import Loop, Run
from support.net import (
    bind_error,
    connection,
    eventually,
    info,
    listener,
    refusing,
    scripted,
    silent,
    ssl_socket,
    tcp_pair,
)
from support.protocols import Recorder

CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def never() -> Any:
    """A protocol factory that must not be called."""
    raise AssertionError("protocol_factory was called")


@pytest.fixture
def stream() -> Iterator[socket.socket]:
    """A stream socket, not connected."""
    with socket.socket() as sock:
        yield sock


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "server_hostname": (
        {"host": "h", "port": 1, "server_hostname": "h"},
        "server_hostname is only meaningful with ssl",
    ),
    "ssl without host": (
        {"port": 1, "ssl": CONTEXT},
        "You must set server_hostname when using ssl without a host",
    ),
    "handshake timeout": (
        {"host": "h", "port": 1, "ssl_handshake_timeout": 1.0},
        "ssl_handshake_timeout is only meaningful with ssl",
    ),
    "shutdown timeout": (
        {"host": "h", "port": 1, "ssl_shutdown_timeout": 1.0},
        "ssl_shutdown_timeout is only meaningful with ssl",
    ),
    "nothing": ({}, "host and port was not specified and no sock specified"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(loop: Loop, run: Run, name: str) -> None:
    """S14.1, S14.2, S14.3, S14.6, S14.8."""
    kwargs, text = WRONG[name]
    with pytest.raises(ValueError, match=f"^{text}$"):
        run(loop.create_connection(never, **kwargs))


@pytest.mark.parametrize("address", [{"host": "h"}, {"port": 1}, {"host": "h", "port": 1}])
def test_host_and_sock(loop: Loop, run: Run, stream: socket.socket, address: Any) -> None:
    """S14.5."""
    text = "host/port and sock can not be specified at the same time"
    with pytest.raises(ValueError, match=f"^{text}$"):
        run(loop.create_connection(never, sock=stream, **address))


def test_datagram_socket(loop: Loop, run: Run) -> None:
    """S14.7: and the caller's socket stays the caller's."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        text = re.escape(f"A Stream Socket was expected, got {sock!r}")
        with pytest.raises(ValueError, match=f"^{text}$"):
            run(loop.create_connection(never, sock=sock))
        assert sock.fileno() != -1


def test_ssl_socket(loop: Loop, run: Run) -> None:
    """S14.4."""
    with ssl_socket() as sock, pytest.raises(TypeError, match=r"^Socket cannot be of type SSLSocket$"):
        run(loop.create_connection(never, sock=sock))


def test_unknown_keywords(loop: Loop, run: Run) -> None:
    """S0.3, S56.1."""
    with pytest.raises(TypeError):
        run(loop.create_connection(never, "h", 1, loop=loop))


@before(3, 12)
def test_all_errors_is_newer(loop: Loop, run: Run) -> None:
    """S0.3."""
    with pytest.raises(TypeError):
        run(loop.create_connection(never, "h", 1, all_errors=True))


def test_connects(loop: Loop, run: Run) -> None:
    """S14.10, S14.22, S14.19: connection_made came before the result."""

    async def main(server: socket.socket) -> None:
        made = Recorder()
        transport, protocol = await loop.create_connection(lambda: made, *server.getsockname())
        assert protocol is made
        assert made.transport is transport
        assert made.names == ["made"]
        peer, address = server.accept()
        sock = transport.get_extra_info("socket")
        assert address == transport.get_extra_info("sockname") == sock.getsockname()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert sock.gettimeout() == 0
        transport.close()
        peer.close()
        await eventually(lambda: made.lost)

    with listener() as server:
        run(main(server))


@pytest.mark.parametrize("pair", [socket.socketpair, tcp_pair])
def test_given_socket(loop: Loop, run: Run, pair: Any) -> None:
    """S14.7, S14.19: TCP and Unix stream sockets, made non-blocking."""
    left, right = pair()
    left.setblocking(True)

    async def main() -> None:
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        assert left.gettimeout() == 0
        assert transport.get_extra_info("socket").fileno() == left.fileno()
        right.send(b"data")
        await eventually(lambda: protocol.data == b"data")
        transport.close()
        await eventually(lambda: protocol.lost)
        assert left.fileno() == -1, "the transport closes the socket it was given"

    run(main())
    right.close()


def attempt(loop: Any, *args: Any, **kwargs: Any) -> BaseException:
    """The exception of a failed create_connection; the loop is closed."""
    try:
        loop.run_until_complete(loop.create_connection(never, *args, **kwargs))
    except Exception as exc:
        return exc
    finally:
        loop.close()
    raise AssertionError("it connected")


def test_empty_lookup(loop_class: type) -> None:
    """S14.9."""
    exc = attempt(scripted(loop_class, {"none": []}), "none", 1)
    assert (type(exc), str(exc)) == (OSError, "getaddrinfo() returned empty list")


def test_empty_lookup_of_local_address(loop_class: type) -> None:
    """S14.9."""
    exc = attempt(scripted(loop_class, {"none": []}), "127.0.0.1", 1, local_addr=("none", 0))
    assert (type(exc), str(exc)) == (OSError, "getaddrinfo() returned empty list")


def test_refused(loop_class: type) -> None:
    """S14.14, S14.15."""
    with refusing() as address:
        exc = attempt(loop_class(), *address)
    assert type(exc) is ConnectionRefusedError
    assert exc.errno == errno.ECONNREFUSED
    assert str(exc) == f"[Errno {errno.ECONNREFUSED}] Connect call failed {address!r}"


def test_candidates_in_order(loop_class: type) -> None:
    """S14.10, S14.11: the first that connects wins, the protocol comes after."""
    tried: list[Any] = []

    async def connect(loop: Any, sock: socket.socket, address: Any) -> None:
        tried.append((address, sock))
        if address[1] != 3:
            raise OSError(errno.ENETUNREACH, f"no way to {address[1]}")
        await loop.really_connect(sock, peer.getsockname())

    with listener() as peer:
        names = {"name": [info("127.0.0.1", n) for n in (1, 2, 3, 4)]}
        loop = scripted(loop_class, names, connect)
        transport, _ = loop.run_until_complete(loop.create_connection(Recorder, "name", 9))
        transport.abort()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert [address[1] for address, _ in tried] == [1, 2, 3]
    assert [sock.fileno() == -1 for _, sock in tried[:2]] == [True, True]


Failures = list[str]


def failing(loop_class: type, texts: Failures) -> Any:
    """A loop on which connecting to `name` fails with these texts in turn."""
    left = iter(texts)

    async def connect(loop: Any, sock: socket.socket, address: Any) -> None:
        raise OSError(next(left))

    names = {"name": [info("127.0.0.1", n) for n in range(1, len(texts) + 1)]}
    return scripted(loop_class, names, connect)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["only"], "only"),
        (["same", "same", "same"], "same"),
        (["one", "two", "one"], "Multiple exceptions: one, two, one"),
    ],
)
def test_all_candidates_fail(loop_class: type, texts: Failures, expected: str) -> None:
    """S14.15."""
    exc = attempt(failing(loop_class, texts), "name", 9)
    assert (type(exc), str(exc)) == (OSError, expected)


@since(3, 12)
@pytest.mark.parametrize("texts", [["only"], ["one", "two"]])
def test_all_errors(loop_class: type, texts: Failures) -> None:
    """S14.16, S53.4."""
    exc: Any = attempt(failing(loop_class, texts), "name", 9, all_errors=True)
    assert type(exc) is ExceptionGroup
    assert exc.message == "create_connection failed"
    assert [str(sub) for sub in exc.exceptions] == texts


def test_local_addr(loop: Loop, run: Run) -> None:
    """S14.12."""

    async def main(server: socket.socket) -> None:
        transport, _ = await loop.create_connection(Recorder, *server.getsockname(), local_addr=("127.0.0.2", 0))
        peer, address = server.accept()
        peer.close()
        assert address[0] == "127.0.0.2"
        assert transport.get_extra_info("sockname") == address
        transport.abort()
        await asyncio.sleep(0)

    with listener() as server:
        run(main(server))


@contextlib.contextmanager
def taken() -> Iterator[tuple[str, int]]:
    """A local address that cannot be bound."""
    with listener() as sock:
        yield sock.getsockname()


def test_bind_failure(loop_class: type) -> None:
    """S14.13, S14.15."""
    with refusing() as address, taken() as local:
        exc: Any = attempt(loop_class(), *address, local_addr=local)
    assert isinstance(exc, OSError)
    assert exc.errno == errno.EADDRINUSE
    text = f"error while attempting to bind on address {local!r}: {bind_error(errno.EADDRINUSE)}"
    assert exc.strerror == text


def test_second_local_address(loop_class: type) -> None:
    """S14.12, S14.18: the first bind fails, the second serves; both errors count if it refuses."""
    with refusing() as address, taken() as local:
        names = {"local": [info(*local), info("127.0.0.1", 0)]}
        exc = attempt(scripted(loop_class, names), *address, local_addr=("local", 0))
    assert type(exc) is OSError
    bind = f"[Errno {errno.EADDRINUSE}] error while attempting to bind on address {local!r}: "
    refused = f"[Errno {errno.ECONNREFUSED}] Connect call failed {address!r}"
    text = f"Multiple exceptions: {bind}{bind_error(errno.EADDRINUSE)}, {refused}"
    assert str(exc) == text


def test_local_address_of_another_family(loop_class: type) -> None:
    """S14.12."""
    with refusing() as address:
        names = {"local": [info("::1", 0)]}
        exc = attempt(scripted(loop_class, names), *address, local_addr=("local", 0))
    text = f"no matching local address with family={socket.AF_INET!r} found"
    assert (type(exc), str(exc)) == (OSError, text)


class Boom(Exception):
    """Raised by tests."""


@pytest.mark.parametrize("kind", [Boom, KeyboardInterrupt])
@ferroloop_only("the socket leaked", "S14.20", sys.version_info < (3, 14))
def test_failing_protocol_factory(loop_class: type, kind: type[BaseException]) -> None:
    """S14.20: the error is raised, and the socket is closed."""

    def factory() -> Any:
        raise kind

    with listener() as server:
        loop = loop_class()
        with pytest.raises(kind):
            loop.run_until_complete(loop.create_connection(factory, *server.getsockname()))
        peer, _ = server.accept()
        peer.settimeout(5)
        assert peer.recv(1) == b""
        peer.close()
        loop.close()


@ferroloop_only("the socket leaked", "S14.20", sys.version_info < (3, 14))
def test_failing_protocol_factory_closes_the_given_socket(loop: Loop, run: Run) -> None:
    """S14.20."""
    left, right = tcp_pair()
    with pytest.raises(Boom):
        run(loop.create_connection(raiser, sock=left))
    assert left.fileno() == -1
    right.close()


def raiser() -> Any:
    """A protocol factory that fails."""
    raise Boom


@since(3, 12)
def test_second_transport_on_one_fd(loop: Loop, run: Run) -> None:
    """S16.27, S53.6."""

    async def main() -> None:
        async with connection() as (transport, _, _):
            fd = transport.get_extra_info("socket").fileno()
            again = socket.socket(fileno=fd)
            try:
                text = f"File descriptor .* is used by transport {re.escape(repr(transport))}"
                with pytest.raises(RuntimeError, match=text):
                    loop._make_socket_transport(again, Recorder())
            finally:
                again.detach()

    run(main())


@pytest.mark.filterwarnings("ignore:unclosed")
def test_number_of_a_transport_that_is_garbage(loop: Loop, run: Run) -> None:
    """S16.27, S57.3: it is free for others once a finalizer among the same garbage has closed the socket."""
    taken: list[bool] = []

    class Holder(Recorder):
        def __del__(self) -> None:
            self.sock.close()
            os.dup2(peers[0].fileno(), self.fd)
            loop.add_reader(self.fd, never)
            taken.append(loop.remove_reader(self.fd))
            os.close(self.fd)

    async def main() -> None:
        left, right = tcp_pair()
        peers.append(right)
        transport, holder = await loop.create_connection(Holder, sock=left)
        transport.pause_reading()
        holder.sock, holder.fd = left, left.fileno()

    peers: list[socket.socket] = []
    run(main())
    gc.collect()
    peers[0].close()
    assert taken == [True]


class Refusing:
    """A server that takes no connection any more."""

    def _attach(self, *_: Any) -> None:
        raise Boom

    def _detach(self, *_: Any) -> None:
        """Nothing was attached."""


@ferroloop_only("asyncio's transport lives until the collector finds it, and closes the socket", "S16.27")
def test_a_transport_that_its_server_refuses(loop: Any) -> None:
    """S16.27: it came to nothing: its protocol is free, and the number is its socket's."""
    left, right = tcp_pair()
    protocol = Recorder()
    alive = weakref.ref(protocol)
    with pytest.raises(Boom):
        loop._make_socket_transport(left, protocol, server=Refusing())
    del protocol
    gc.collect()
    assert alive() is None
    loop.add_reader(left, print)
    assert loop.remove_reader(left)
    left.close()
    right.close()


def test_cancelled_while_connecting(loop_class: type) -> None:
    """S14.11, S14.21."""
    socks: list[socket.socket] = []

    async def connect(loop: Any, sock: socket.socket, address: Any) -> None:
        socks.append(sock)
        await asyncio.sleep(60)

    loop = scripted(loop_class, connect=connect)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.create_connection(never, "127.0.0.1", 1), 0.01)

    loop.run_until_complete(main())
    loop.close()
    assert [sock.fileno() for sock in socks] == [-1]


def test_debug_log(loop: Loop, run: Run, logged: LogList) -> None:
    """S14.23, S14.25."""
    loop.set_debug(True)

    async def main(server: socket.socket) -> None:
        host, port = server.getsockname()
        transport, protocol = await loop.create_connection(Recorder, host, port)
        start = re.escape("<asyncio.TransportSocket fd=")
        end = re.escape(f" connected to {host}:{port!r}: (")
        texts = [text for text in logged.texts(logging.DEBUG) if "connected to" in text]
        assert len(texts) == 1
        assert re.match(f"{start}.*{end}<{type(transport).__name__} ", texts[0])
        assert texts[0].endswith(f", {protocol!r})")
        assert not [text for text in logged.texts() if text.startswith("connect ")]
        transport.abort()
        await asyncio.sleep(0)

    with listener() as server:
        run(main(server))


class Refused(OSError):
    """An OSError that can be weakly referenced."""


def error_dies_at_once(loop_class: type, **options: Any) -> bool:
    """Whether the error of a refused `create_connection` needs no collector to die."""

    async def connect(loop: Any, sock: socket.socket, address: Any) -> None:
        raise Refused

    async def main() -> "weakref.ref[Refused]":
        try:
            await loop.create_connection(never, "127.0.0.1", 1, **options)
        except Refused as exc:
            return weakref.ref(exc)
        raise AssertionError

    loop = scripted(loop_class, connect=connect)
    gc.collect()
    gc.disable()
    try:
        return loop.run_until_complete(main())() is None
    finally:
        gc.enable()
        loop.close()


def test_failed_call_leaves_no_cycle(loop_class: type) -> None:
    """S14.24: the error dies without the collector."""
    assert error_dies_at_once(loop_class)


@ferroloop_only("asyncio's error is in a cycle", "S14.24", sys.version_info < (3, 14))
@pytest.mark.parametrize("delay", [0.001, 1])
def test_failed_race_leaves_no_cycle(loop_class: type, delay: float) -> None:
    """S14.24, S15: of happy eyeballs, too."""
    assert error_dies_at_once(loop_class, happy_eyeballs_delay=delay)


def test_slow_peer(loop: Loop, run: Run) -> None:
    """S14.21: a real connect that never ends is cancelled without a trace."""

    async def main(address: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.create_connection(never, *address), 0.05)

    with silent() as address:
        run(main(address))
