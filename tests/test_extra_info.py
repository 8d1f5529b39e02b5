"""S46, S16.4: what get_extra_info tells, and the restricted socket."""

import asyncio
import socket
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from typing import Any

import pytest
from support.loops import Loop, Run
from support.net import connection, eventually, tcp_pair, unix_pair
from support.scripts import Script

RunScript = Callable[..., Script]


def test_addresses(loop: Loop, run: Run) -> None:
    """S16.4."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            assert transport.get_extra_info("sockname") == peer.getpeername()
            assert transport.get_extra_info("peername") == peer.getsockname()

    run(main())


def test_addresses_of_unix_sockets(loop: Loop, run: Run) -> None:
    """S16.4."""

    async def main() -> None:
        async with connection(pair=unix_pair) as (transport, _, _):
            assert transport.get_extra_info("sockname") == ""
            assert transport.get_extra_info("peername") == ""

    run(main())


def test_peer_already_gone(loop: Loop, run: Run) -> None:
    """S16.4: peername is None if unavailable, sockname is known."""
    left, right = tcp_pair()
    name = left.getsockname()
    left.shutdown(socket.SHUT_RDWR)
    right.shutdown(socket.SHUT_RDWR)
    right.close()

    async def main() -> None:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
        assert transport.get_extra_info("peername") is None
        assert transport.get_extra_info("sockname") == name
        transport.abort()
        await asyncio.sleep(0)

    run(main())


@pytest.mark.parametrize("method", ["getsockname", "getpeername"])
@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_error_of_a_socket_class(loop: Loop, run: Run, method: str, error: type[BaseException]) -> None:
    """S16.4: an address is None if the system knows none; another error is the caller's."""
    left, right = tcp_pair()

    def fail(self: socket.socket) -> None:
        raise error

    own = type("Own", (socket.socket,), {method: fail})(fileno=left.detach())

    async def main() -> None:
        with pytest.raises(error):
            await loop.create_connection(asyncio.Protocol, sock=own)

    own.setblocking(False)
    run(main())
    own.close()
    right.close()


def test_unknown_names(loop: Loop, run: Run) -> None:
    """S16.4: the default."""

    async def main() -> None:
        async with connection() as (transport, _, _):
            assert transport.get_extra_info("nothing") is None
            assert transport.get_extra_info("nothing", 3) == 3
            assert transport.get_extra_info("sslcontext") is None

    run(main())


def test_addresses_survive_the_end(loop: Loop, run: Run) -> None:
    """S16.4, S16.22: access logs ask after the connection is gone."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            names = peer.getpeername(), peer.getsockname()
            peer.close()
            await eventually(lambda: protocol.lost)
            assert transport.get_extra_info("sockname") == names[0]
            assert transport.get_extra_info("peername") == names[1]
            assert transport.get_extra_info("socket").fileno() == -1

    run(main())


OPERATIONS: dict[str, Callable[[TransportSocket], object]] = {
    "shutdown": lambda sock: sock.shutdown(socket.SHUT_WR),
    "dup": lambda sock: sock.dup().close(),
    "fileno": lambda sock: sock.fileno(),
    "setsockopt": lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
}


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("name", OPERATIONS)
def test_written_before_the_socket_is_used(loop: Loop, run: Run, accepted: bool, name: str) -> None:
    """S16.14, S46.2: what was written has left before, whenever the socket was asked for."""

    def use(transport: Any, sock: TransportSocket, peer: socket.socket) -> None:
        transport.write(b"one")
        transport.write(b"two")
        OPERATIONS[name](sock)
        assert peer.recv(10) == b"onetwo"
        used.set_result(None)

    async def use_it(transport: Any, peer: socket.socket) -> None:
        sock = transport.get_extra_info("socket")
        loop.call_soon(use, transport, sock, peer)
        loop.call_soon(len, ())  # another callback follows
        await used

    async def main() -> None:
        if not accepted:
            async with connection() as (transport, _, peer):
                await use_it(transport, peer)
            return
        made = loop.create_future()
        server = await loop.create_server(lambda: Made(made), "127.0.0.1", 0)
        async with server:
            with socket.create_connection(server.sockets[0].getsockname()) as peer:
                transport = await made
                await use_it(transport, peer)
                transport.close()

    used: asyncio.Future[None] = loop.create_future()
    run(main())


class Made(asyncio.Protocol):
    """Hands its transport over."""

    def __init__(self, made: asyncio.Future[asyncio.BaseTransport]) -> None:
        self.made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made.set_result(transport)


def test_transport_socket(loop: Loop, run: Run) -> None:
    """S46.1, S46.2, S46.3."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            sock = transport.get_extra_info("socket")
            assert isinstance(sock, TransportSocket)
            assert repr(sock).startswith("<asyncio.TransportSocket fd=")
            assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
            assert sock.proto in (0, socket.IPPROTO_TCP)
            assert sock.getsockname() == peer.getpeername()
            assert sock.getpeername() == peer.getsockname()
            assert sock.gettimeout() == 0
            sock.settimeout(0)
            sock.setblocking(False)
            assert sock.get_inheritable() is False
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            sock.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0)
            assert peer.recv(1) == b""

    run(main())


def test_transport_socket_is_restricted(loop: Loop, run: Run) -> None:
    """S46.2: nothing that closes, reads, writes or blocks."""

    async def main() -> None:
        async with connection() as (transport, _, _):
            sock = transport.get_extra_info("socket")
            for name in ("close", "recv", "send", "sendall", "accept", "connect", "detach"):
                assert not hasattr(sock, name)
            with pytest.raises(ValueError, match="settimeout"):
                sock.settimeout(1)
            with pytest.raises(ValueError, match="setblocking"):
                sock.setblocking(True)

    run(main())


def test_dup(loop: Loop, run: Run) -> None:
    """S46.2, S46.3: a real socket stands behind it; the copy is the caller's."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            copy = transport.get_extra_info("socket").dup()
            assert isinstance(copy, socket.socket)
            transport.abort()
            await asyncio.sleep(0)
            copy.send(b"still open")
            copy.close()
            await asyncio.sleep(0)
            assert peer.recv(100) == b"still open"

    run(main())


def test_given_socket_stands_behind(loop: Loop, run: Run) -> None:
    """S46.3."""
    left, right = tcp_pair()

    async def main() -> None:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
        assert transport.get_extra_info("socket")._sock is left
        transport.abort()
        await asyncio.sleep(0)

    run(main())
    right.close()


def test_socket_asked_for_while_it_is_made(run_script: RunScript) -> None:
    """S46: whoever runs meanwhile, here an audit hook, may ask as well; the descriptor has one owner."""
    run_script(
        """
        import asyncio, sys

        views, asking = [], [True]

        def hook(event, args):
            if event == "socket.__new__" and asking:
                asking.clear()
                views.append(transport.get_extra_info("socket"))

        class Accepted(asyncio.Protocol):
            def connection_made(self, transport):
                accepted.set_result(transport)

        async def main():
            global accepted, transport
            accepted = loop.create_future()
            server = await loop.create_server(Accepted, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            transport = await accepted
            sys.addaudithook(hook)
            views.append(transport.get_extra_info("socket"))
            assert {view.fileno() for view in views} == {transport.get_extra_info("socket").fileno()}
            transport.write(b"alive")
            assert await reader.readexactly(5) == b"alive"
            transport.close()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            server.close()

        loop = new_event_loop()
        loop.run_until_complete(asyncio.wait_for(main(), 10))
        loop.close()
        """
    )
