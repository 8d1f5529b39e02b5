"""S18: create_server."""

import asyncio
import errno
import logging
import os
import re
import socket
from typing import Any

import pytest
from support.fds import open_fds
from support.gates import before, ferroloop_only, since
from support.log import LogList
from support.loops import Loop, Run
from support.net import bind_error, eventually, has_ipv6, info, listener, scripted, ssl_socket
from support.protocols import Recorder

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on the loopback")


def never() -> Any:
    """A protocol factory that must not be called."""
    raise AssertionError("protocol_factory was called")


def addresses(server: Any) -> list[Any]:
    """Where it listens."""
    return [sock.getsockname() for sock in server.sockets]


async def close(server: Any) -> None:
    """Close and let the loop forget the sockets."""
    server.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("wrong", [True, False])
def test_ssl_bool(loop: Loop, run: Run, wrong: bool) -> None:
    """S18.1."""
    text = "^ssl argument must be an SSLContext or None$"
    with pytest.raises(TypeError, match=text):
        run(loop.create_server(never, "127.0.0.1", 0, ssl=wrong))


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_timeouts_without_ssl(loop: Loop, run: Run, name: str) -> None:
    """S18.1."""
    with pytest.raises(ValueError, match=f"^{name} is only meaningful with ssl$"):
        run(loop.create_server(never, "127.0.0.1", 0, **{name: 1.0}))


def test_ssl_socket(loop: Loop, run: Run) -> None:
    """S18.1."""
    with ssl_socket() as sock, pytest.raises(TypeError, match=r"^Socket cannot be of type SSLSocket$"):
        run(loop.create_server(never, sock=sock))


def test_host_and_sock(loop: Loop, run: Run) -> None:
    """S18.2."""
    text = "^host/port and sock can not be specified at the same time$"
    with socket.socket() as sock, pytest.raises(ValueError, match=text):
        run(loop.create_server(never, "127.0.0.1", 0, sock=sock))


def test_neither(loop: Loop, run: Run) -> None:
    """S18.2."""
    with pytest.raises(ValueError, match=r"^Neither host/port nor sock were specified$"):
        run(loop.create_server(never))


def test_datagram_socket(loop: Loop, run: Run) -> None:
    """S18.2."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        text = re.escape(f"A Stream Socket was expected, got {sock!r}")
        with pytest.raises(ValueError, match=f"^{text}$"):
            run(loop.create_server(never, sock=sock))


@before(3, 13)
def test_keep_alive_is_newer(loop: Loop, run: Run) -> None:
    """S0.3."""
    with pytest.raises(TypeError):
        run(loop.create_server(never, "127.0.0.1", 0, keep_alive=True))


@pytest.mark.parametrize(("host", "asked"), [("", [None]), (None, [None]), ("name", ["name"])])
def test_hosts(loop_class: type, host: Any, asked: list[Any]) -> None:
    """S18.3."""
    entry = [info("127.0.0.1", 0)]
    loop = scripted(loop_class, {None: entry, "name": entry})
    server = loop.run_until_complete(loop.create_server(never, host, 0))
    loop.run_until_complete(close(server))
    loop.close()
    assert [name for name, _ in loop.asked] == asked


@pytest.mark.parametrize("kind", [list, tuple, set, iter])
def test_several_hosts(loop: Loop, run: Run, kind: Any) -> None:
    """S18.3, S18.15: each its own port."""

    async def main() -> None:
        server = await loop.create_server(never, kind(["127.0.0.1", "127.0.0.2"]), 0)
        found = addresses(server)
        assert {host for host, _ in found} == {"127.0.0.1", "127.0.0.2"}
        assert all(port for _, port in found)
        await close(server)

    run(main())


def test_hosts_are_resolved_concurrently(loop_class: type) -> None:
    """S18.3."""
    waiting: list[str] = []

    class Slow(loop_class):
        async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> Any:
            waiting.append(host)
            await eventually(lambda: len(waiting) == 2)
            return [info("127.0.0.1", 0)]

    loop = Slow()
    server = loop.run_until_complete(loop.create_server(never, ["one", "two"], 0))
    loop.run_until_complete(close(server))
    loop.close()
    assert waiting == ["one", "two"]


def test_empty_lookup(loop_class: type) -> None:
    """S18.4."""
    loop = scripted(loop_class, {"none": [], "some": [info("127.0.0.1", 0)]})
    with pytest.raises(OSError, match=r"^getaddrinfo\('none'\) returned empty list$"):
        loop.run_until_complete(loop.create_server(never, ["some", "none"], 0))
    loop.close()


def test_duplicate_addresses(loop: Loop, run: Run) -> None:
    """S18.5: bound once."""

    async def main(port: int) -> None:
        hosts = ["127.0.0.1", "127.0.0.1", b"127.0.0.1"]
        server = await loop.create_server(never, hosts, port)
        assert addresses(server) == [("127.0.0.1", port)]
        await close(server)

    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    run(main(port))


@ferroloop_only("asyncio keeps the addresses in a set", "S18.5")
def test_order_of_addresses(loop_class: type) -> None:
    """S18.5: the resolver's."""
    hosts = [f"127.0.0.{n}" for n in (5, 3, 9, 1, 7)]
    loop = scripted(loop_class, {"name": [info(host, 0) for host in hosts]})
    server = loop.run_until_complete(loop.create_server(never, "name", 0))
    found = [host for host, _ in addresses(server)]
    loop.run_until_complete(close(server))
    loop.close()
    assert found == hosts


def option(loop: Loop, name: int, **options: Any) -> int:
    """A SOL_SOCKET option of a listening socket."""

    async def main() -> int:
        server = await loop.create_server(never, "127.0.0.1", 0, **options)
        found = server.sockets[0].getsockopt(socket.SOL_SOCKET, name)
        await close(server)
        return int(found)

    return loop.run_until_complete(main())


def test_reuse_address(loop: Loop) -> None:
    """S18.6."""
    assert option(loop, socket.SO_REUSEADDR) != 0
    assert option(loop, socket.SO_REUSEADDR, reuse_address=True) != 0
    assert option(loop, socket.SO_REUSEADDR, reuse_address=False) == 0


def test_reuse_port(loop: Loop) -> None:
    """S18.7."""
    assert option(loop, socket.SO_REUSEPORT) == 0
    assert option(loop, socket.SO_REUSEPORT, reuse_port=True) != 0


def test_reuse_port_unsupported(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S18.7."""
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    text = "^reuse_port not supported by socket module$"
    with pytest.raises(ValueError, match=text):
        run(loop.create_server(never, "127.0.0.1", 0, reuse_port=True))


def test_reuse_port_refused(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S18.7: by the kernel, here for want of such an option."""
    monkeypatch.setattr(socket, "SO_REUSEPORT", 12345)
    text = (
        r"^reuse_port not supported by socket module, "
        r"SO_REUSEPORT defined but not implemented\.$"
    )
    with pytest.raises(ValueError, match=text):
        run(loop.create_server(never, "127.0.0.1", 0, reuse_port=True))


@since(3, 13)
def test_keep_alive(loop: Loop) -> None:
    """S18.8, S53.3."""
    assert option(loop, socket.SO_KEEPALIVE) == 0
    assert option(loop, socket.SO_KEEPALIVE, keep_alive=True) != 0


@needs_ipv6
def test_wildcards_of_both_families(loop_class: type) -> None:
    """S18.9: on one port."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    loop = scripted(loop_class, {None: [info("0.0.0.0", port), info("::", port)]})
    server = loop.run_until_complete(loop.create_server(never, None, port))
    only = [
        sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        for sock in server.sockets
        if sock.family == socket.AF_INET6
    ]
    assert len(server.sockets) == 2
    assert only == [1]
    loop.run_until_complete(close(server))
    loop.close()


# A family no kernel has.
NOWHERE = (99, socket.SOCK_STREAM, 0, "", ("nowhere", 0))


def test_unsupported_families_are_skipped(loop_class: type, logged: LogList) -> None:
    """S18.10: with a warning in debug mode."""
    loop = scripted(loop_class, {"name": [NOWHERE, info("127.0.0.1", 0)]})
    for debug in (False, True):
        loop.set_debug(debug)
        server = loop.run_until_complete(loop.create_server(never, "name", 0))
        assert [host for host, _ in addresses(server)] == ["127.0.0.1"]
        loop.run_until_complete(close(server))
    loop.close()
    text = f"create_server() failed to create socket.socket(99, {socket.SOCK_STREAM!r}, 0)"
    assert logged.texts(logging.WARNING) == [text]
    assert next(r for r in logged.records if r.levelno == logging.WARNING).exc_info


def test_bind_failure(loop: Loop, run: Run) -> None:
    """S18.11: the other sockets of the call are closed, and nothing is chained."""
    run(asyncio.sleep(0))
    before = open_fds()
    with listener() as taken:
        address = taken.getsockname()
        hosts = ["127.0.0.2", "127.0.0.1", "127.0.0.3"]
        with pytest.raises(OSError, match="error while attempting") as caught:
            run(loop.create_server(never, hosts, address[1]))
    assert caught.value.errno == errno.EADDRINUSE
    text = f"error while attempting to bind on address {address!r}: {bind_error(errno.EADDRINUSE)}"
    assert caught.value.strerror == text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert open_fds() == before


# A documentation address (RFC 5737) that no interface here has.
ELSEWHERE = "192.0.2.1"


@before(3, 13)
def test_address_not_available_before(loop: Loop, run: Run) -> None:
    """S18.12."""
    with pytest.raises(OSError, match="error while attempting to bind") as caught:
        run(loop.create_server(never, ["127.0.0.1", ELSEWHERE], 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL


@since(3, 13)
def test_address_not_available(loop: Loop, run: Run, logged: LogList) -> None:
    """S18.12: skipped, with a warning in debug mode."""

    async def main() -> None:
        server = await loop.create_server(never, [ELSEWHERE, "127.0.0.1"], 0)
        assert [host for host, _ in addresses(server)] == ["127.0.0.1"]
        await close(server)

    run(main())
    assert logged.texts(logging.WARNING) == []
    loop.set_debug(True)
    run(main())
    text = f"error while attempting to bind on address ('{ELSEWHERE}', 0): {bind_error(errno.EADDRNOTAVAIL)}"
    assert logged.texts(logging.WARNING) == [text]


@since(3, 13)
def test_no_address_left(loop: Loop, run: Run) -> None:
    """S18.12."""
    text = re.escape(f"could not bind on any address out of [('{ELSEWHERE}', 0)]")
    with pytest.raises(OSError, match=f"^{text}$"):
        run(loop.create_server(never, ELSEWHERE, 0))


def listening(sock: Any) -> bool:
    """Whether the kernel accepts connections for it."""
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def test_start_serving(loop: Loop, run: Run) -> None:
    """S18.13, S18.14: connections are accepted when the call returns."""

    async def main() -> None:
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        assert server.is_serving()
        assert listening(server.sockets[0])
        assert server.sockets[0].gettimeout() == 0
        await close(server)

    run(main())


def test_not_started(loop: Loop, run: Run) -> None:
    """S18.13."""

    async def main() -> None:
        server = await loop.create_server(never, "127.0.0.1", 0, start_serving=False)
        assert not server.is_serving()
        assert not listening(server.sockets[0])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(addresses(server)[0])
        await close(server)

    run(main())


@pytest.mark.parametrize("blocking", [True, False])
def test_given_socket(loop: Loop, run: Run, blocking: bool) -> None:
    """S18.2, S18.13: it becomes the server's."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(blocking)

    async def main() -> None:
        made: list[Recorder] = []

        def factory() -> Recorder:
            made.append(Recorder())
            return made[-1]

        server = await loop.create_server(factory, sock=sock)
        assert sock.gettimeout() == 0
        client = socket.create_connection(sock.getsockname())
        await eventually(lambda: made and made[0].transport)
        made[0].transport.abort()
        client.close()
        await close(server)
        assert sock.fileno() == -1

    run(main())


def test_given_unix_socket(loop: Loop, run: Run) -> None:
    """S18.2: any stream socket will do."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"\0ferroloop-{os.getpid()}")

    async def main() -> None:
        server = await loop.create_server(Recorder, sock=sock)
        assert listening(sock)
        await close(server)

    run(main())


def test_debug_log(loop: Loop, run: Run, logged: LogList) -> None:
    """S18.16."""
    loop.set_debug(True)

    async def main() -> None:
        server = await loop.create_server(never, "127.0.0.1", 0)
        assert f"{server!r} is serving" in logged.texts(logging.INFO)
        await close(server)

    run(main())
