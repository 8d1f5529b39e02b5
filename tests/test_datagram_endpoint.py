"""S26: create_datagram_endpoint: what it takes, what it refuses, what it leaves behind."""

import asyncio
import inspect
import socket
from typing import Any

import pytest
from support.cancelling import cancel_everywhere
from support.datagrams import Mailbox, end, endpoint, refused, udp
from support.gates import before, ferroloop_only, since
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually, has_ipv6, info, scripted

DGRAM = socket.SOCK_DGRAM
LOCAL = ("127.0.0.1", 0)


def test_signature(loop: Loop) -> None:
    """S26: the parameters of the running Python's own loop, S26.11 and S54.3: no reuse_address."""
    ours = inspect.signature(loop.create_datagram_endpoint).parameters
    theirs = inspect.signature(asyncio.SelectorEventLoop.create_datagram_endpoint).parameters
    assert list(ours) == [name for name in theirs if name != "self"]
    assert [p.kind for p in ours.values()] == [p.kind for name, p in theirs.items() if name != "self"]
    for value in (True, False):
        with pytest.raises(TypeError, match="reuse_address"):
            loop.create_datagram_endpoint(Mailbox, local_addr=LOCAL, reuse_address=value)


@before(3, 13)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_only_datagram_sockets(loop: Loop, kind: int) -> None:
    """S26.1."""
    with socket.socket(socket.AF_UNIX, kind) as sock:
        error = refused(loop, sock=sock)
    assert type(error) is ValueError
    assert str(error).startswith("A UDP Socket was expected, got <socket.socket fd=")


@since(3, 13)
def test_no_stream_sockets(loop: Loop) -> None:
    """S26.1."""
    with socket.socket() as sock:
        error = refused(loop, sock=sock)
    assert type(error) is ValueError
    assert str(error).startswith("A datagram socket was expected, got <socket.socket fd=")


@since(3, 13)
def test_other_sockets(loop: Loop, run: Run) -> None:
    """S26.1, S54.2: whatever is no stream carries messages."""

    async def main() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with right:
            async with endpoint(sock=left) as (transport, protocol):
                right.send(b"one")
                await eventually(lambda: protocol.messages == [b"one"])
                transport.pause_reading()

    run(main())


def test_socket_with_modifiers(loop: Loop) -> None:
    """S26.2: those that are true are named, in the order of the parameters."""
    with udp() as sock:
        error = refused(
            loop,
            local_addr=LOCAL,
            remote_addr=("127.0.0.1", 9),
            family=1,
            proto=2,
            flags=3,
            reuse_port=True,
            allow_broadcast=True,
            sock=sock,
        )
        assert str(error) == (
            "socket modifier keyword arguments can not be used when sock is specified. "
            "(local_addr=('127.0.0.1', 0), remote_addr=('127.0.0.1', 9), family=1, proto=2, flags=3, "
            "reuse_port=True, allow_broadcast=True)"
        )
        error = refused(loop, sock=sock, flags=4, reuse_port=False)
        assert type(error) is ValueError
        assert str(error).endswith("when sock is specified. (flags=4)")


def test_given_socket(loop: Loop, run: Run) -> None:
    """S26.3: becomes non-blocking, and may send anywhere."""

    async def main() -> None:
        with udp() as one, udp() as two, udp() as sock:
            async with endpoint(sock=sock) as (transport, _):
                assert sock.gettimeout() == 0
                for peer in (one, two):
                    transport.sendto(b"hello", peer.getsockname())
                    assert peer.recv(10) == b"hello"

    run(main())


def test_no_family(loop: Loop) -> None:
    """S26.4."""
    error = refused(loop)
    assert (type(error), str(error)) == (ValueError, "unexpected address family")


def test_unbound(loop: Loop, run: Run) -> None:
    """S26.4."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(family=socket.AF_INET) as (transport, protocol):
                transport.sendto(b"hello", peer.getsockname())
                data, address = peer.recvfrom(10)
                assert data == b"hello"
                peer.sendto(b"answer", address)
                await eventually(lambda: protocol.messages == [b"answer"])

    run(main())


@pytest.mark.parametrize("addr", [("a", 1, 2), ("a",), ["127.0.0.1", 9], "127.0.0.1", 7, (), ""])
@pytest.mark.parametrize("side", ["local_addr", "remote_addr"])
def test_addresses_are_pairs(loop: Loop, addr: Any, side: str) -> None:
    """S26.6."""
    other = "remote_addr" if side == "local_addr" else "local_addr"
    error = refused(loop, **{side: addr, other: ("127.0.0.1", 0)})
    assert (type(error), str(error)) == (TypeError, "2-tuple is expected")


def datagram_info(host: str, port: int = 0) -> tuple[Any, ...]:
    """The getaddrinfo entry of a UDP address."""
    return (info(host, port)[0], DGRAM, socket.IPPROTO_UDP, "", info(host, port)[4])


def test_literals_need_no_lookup(loop_class: type) -> None:
    """S13.3."""
    loop = scripted(loop_class)

    async def main() -> None:
        async with endpoint(local_addr=LOCAL, remote_addr=("127.0.0.1", 9)) as (transport, _):
            assert transport.get_extra_info("peername") == ("127.0.0.1", 9)

    loop.run_until_complete(main())
    assert loop.asked == []
    loop.close()


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_pairs(loop_class: type) -> None:
    """S26.7: only what has both sides is tried."""
    names = {
        "local": [datagram_info("::1"), datagram_info("127.0.0.1")],
        "remote": [datagram_info("127.0.0.1", 9)],
    }
    loop = scripted(loop_class, names)

    async def main() -> None:
        async with endpoint(local_addr=("local", 0), remote_addr=("remote", 9)) as (transport, _):
            assert transport.get_extra_info("sockname")[0] == "127.0.0.1"

    loop.run_until_complete(main())
    assert loop.asked == [("local", 0), ("remote", 9)]
    loop.close()


def test_no_pair(loop_class: type) -> None:
    """S26.7."""
    names = {"local": [datagram_info("::1")], "remote": [datagram_info("127.0.0.1", 9)], "nobody": []}
    loop = scripted(loop_class, names)
    error = refused(loop, local_addr=("local", 0), remote_addr=("remote", 9))
    assert (type(error), str(error)) == (ValueError, "can not get address information")
    error = refused(loop, local_addr=("nobody", 0))
    assert (type(error), str(error)) == (OSError, "getaddrinfo() returned empty list")
    loop.close()


def test_candidates_in_order(loop_class: type) -> None:
    """S26.8: the first that works."""
    names = {"local": [datagram_info("203.0.113.1"), (socket.AF_INET, DGRAM, 0, "", LOCAL)]}
    loop = scripted(loop_class, names)

    async def main() -> None:
        async with endpoint(local_addr=("local", 0)) as (transport, _):
            assert transport.get_extra_info("sockname")[0] == "127.0.0.1"

    loop.run_until_complete(main())
    loop.close()


def test_first_error(loop_class: type) -> None:
    """S26.8, S26.12: of all that failed the first is raised, and every socket is closed."""
    with udp() as taken:
        busy = taken.getsockname()
        names = {
            "local": [
                (socket.AF_INET, DGRAM, 0, "", busy),
                (socket.AF_INET, DGRAM, socket.IPPROTO_UDP, "", ("203.0.113.1", 0)),
            ]
        }
        loop = scripted(loop_class, names)
        error = refused(loop, local_addr=("local", 0))
    assert isinstance(error, OSError)
    assert error.errno == 98
    loop.close()


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT here")
def test_reuse_port(loop: Loop, run: Run) -> None:
    """S26.9."""

    async def main() -> None:
        async with endpoint(local_addr=LOCAL, reuse_port=True) as (transport, _):
            name = transport.get_extra_info("sockname")
            assert transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
            async with endpoint(local_addr=name, reuse_port=True) as (other, _):
                assert other.get_extra_info("sockname") == name
            with pytest.raises(OSError, match="in use"):
                await loop.create_datagram_endpoint(pytest.fail, local_addr=name)

    run(main())


def test_no_reuse_port(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """S26.9, S18.7: where the system has no such option."""
    monkeypatch.delattr(socket, "SO_REUSEPORT", raising=False)
    error = refused(loop, local_addr=LOCAL, reuse_port=True)
    assert (type(error), str(error)) == (ValueError, "reuse_port not supported by socket module")


def test_broadcast(loop: Loop, run: Run) -> None:
    """S26.9, S26.10: allowed, and the remote address only remembered."""

    async def main() -> None:
        with udp() as peer, udp() as stranger:
            name = peer.getsockname()
            async with endpoint(remote_addr=name, allow_broadcast=True) as (transport, protocol):
                sock = transport.get_extra_info("socket")
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
                assert transport.get_extra_info("peername") is None
                for _ in range(2):
                    transport.sendto(b"hello")
                    data, address = peer.recvfrom(10)
                    assert data == b"hello"
                transport.sendto(b"given", tuple(name))
                assert peer.recv(10) == b"given"
                with pytest.raises(ValueError, match="Invalid address: must be None or"):
                    transport.sendto(b"other", stranger.getsockname())
                stranger.sendto(b"from anybody", ("127.0.0.1", address[1]))
                await eventually(lambda: protocol.messages == [b"from anybody"])
            async with endpoint(remote_addr=name) as (transport, _):
                sock = transport.get_extra_info("socket")
                assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)

    run(main())


def test_multicast(loop: Loop, run: Run) -> None:
    """S26.3: a socket that has joined a group hears what is sent to it."""
    group = "224.0.0.251"

    async def main() -> None:
        with socket.socket(socket.AF_INET, DGRAM) as sock:
            sock.bind(("", 0))
            member = socket.inet_aton(group) + socket.inet_aton("127.0.0.1")
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            async with (
                endpoint(sock=sock) as (_, protocol),
                endpoint(local_addr=LOCAL) as (sender, _),
            ):
                option = (socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
                sender.get_extra_info("socket").setsockopt(*option)
                sender.sendto(b"to all", (group, sock.getsockname()[1]))
                await eventually(lambda: protocol.messages == [b"to all"])

    run(main())


def test_subclass_connects(loop_class: type) -> None:
    """S26.10, S1.9: through the loop's own sock_connect, and not at all with allow_broadcast."""
    connected: list[Any] = []

    async def connect(loop: Any, sock: socket.socket, address: Any) -> None:
        connected.append(address)
        await loop.really_connect(sock, address)

    loop = scripted(loop_class, connect=connect)

    async def main() -> None:
        for broadcast in (False, True):
            async with endpoint(remote_addr=("127.0.0.1", 9), allow_broadcast=broadcast):
                pass

    loop.run_until_complete(main())
    assert connected == [("127.0.0.1", 9)]
    loop.close()


@ferroloop_only("the socket is left to the collector", "S26.12")
def test_failing_factory(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """S26.12: the socket that was made is closed."""
    made: list[socket.socket] = []

    class Socket(socket.socket):
        def __init__(self, *args: Any, **keywords: Any) -> None:
            super().__init__(*args, **keywords)
            made.append(self)

    def fail() -> None:
        raise LookupError("mine")

    monkeypatch.setattr(socket, "socket", Socket)
    with pytest.raises(LookupError):
        loop.run_until_complete(loop.create_datagram_endpoint(fail, local_addr=LOCAL))
    assert [sock.fileno() for sock in made] == [-1]


def test_failing_factory_with_socket(loop: Loop) -> None:
    """S26.12: a socket that was given stays its giver's."""

    def fail() -> None:
        raise LookupError("mine")

    with udp() as sock:
        with pytest.raises(LookupError):
            loop.run_until_complete(loop.create_datagram_endpoint(fail, sock=sock))
        assert sock.fileno() != -1


def test_cancellation(loop: Loop) -> None:
    """S26.12: wherever it strikes, nothing is left open."""

    def start() -> Any:
        return loop.create_datagram_endpoint(Mailbox, local_addr=("localhost", 0), family=socket.AF_INET)

    def stop(result: Any) -> None:
        result[0].abort()

    rounds = cancel_everywhere(loop, start, stop, lambda: None, pause=0.001)
    assert rounds > 0


def test_one_owner(loop: Loop, run: Run) -> None:
    """S16.27, S53.6: a descriptor that a transport owns is refused, and left alone."""
    since312 = getattr(asyncio, "EventLoop", None) is not None

    async def main() -> None:
        with udp() as peer:
            async with endpoint(local_addr=LOCAL) as (transport, protocol):
                sock = transport.get_extra_info("socket")._sock
                if since312 or type(loop).__module__.startswith("ferroloop"):
                    with pytest.raises(RuntimeError, match=r"File descriptor .* is used by transport"):
                        await loop.create_datagram_endpoint(Mailbox, sock=sock)
                with pytest.raises(RuntimeError, match=r"File descriptor .* is used by transport"):
                    loop.add_reader(sock, print)
                peer.sendto(b"hello", transport.get_extra_info("sockname"))
                await eventually(lambda: protocol.messages == [b"hello"])

    run(main())


@pytest.mark.parametrize("local", [True, False])
def test_debug_log(loop: Loop, run: Run, logged: LogList, local: bool) -> None:
    """S26.13."""
    loop.set_debug(True)

    async def main() -> None:
        options: dict[str, Any] = {"remote_addr": ("127.0.0.1", 9)}
        if local:
            options["local_addr"] = ("127.0.0.1", 0)
        transport, protocol = await loop.create_datagram_endpoint(Mailbox, **options)
        level = 20 if local else 10
        start = "local_addr=('127.0.0.1', 0) " if local else ""
        text = f"Datagram endpoint {start}remote_addr=('127.0.0.1', 9) created: ("
        found = [line for line in logged.texts(level) if line.startswith(text)]
        assert len(found) == 1
        assert found[0].endswith(f", {protocol!r})")
        assert "DatagramTransport fd=" in found[0]
        await end(transport)

    run(main())


def test_no_log_without_debug(loop: Loop, run: Run, logged: LogList) -> None:
    """S26.13."""

    async def main() -> None:
        async with endpoint(local_addr=LOCAL):
            assert not [line for line in logged.texts() if "endpoint" in line]

    run(main())
