"""S27: datagrams with ancillary data, received: `receive_messages` of a datagram endpoint.

asyncio has no such method. What it has in common with `datagram_received` is asked of it here, too.
"""

import asyncio
import contextvars
import os
import socket
import struct
import sys
import time
from typing import Any

import pytest
from support.datagrams import Mailbox, Messages, endpoint, udp, unix
from support.fds import open_fds
from support.gates import ferroloop_only, linux_only
from support.loops import Loop, Run
from support.net import eventually, has_ipv6
from support.rights import INT, ROOM, descriptors, is_same, rights
from support.sock import refusal
from support.turns import turn

pytestmark = ferroloop_only("asyncio has no such method", spec="S27.1")

Errors = list[dict[str, Any]]


LOCAL = ("127.0.0.1", 0)

# Numbers of ip(7) and socket(7) on Linux that the socket module has on newer Pythons only, or not at all.
IP_PKTINFO = 8
IP_RECVTTL = 12
SO_TIMESTAMP = 29


def set_option(transport: Any, *option: Any) -> None:
    """Set an option of the endpoint's socket."""
    transport.get_extra_info("socket").setsockopt(*option)


@linux_only
@pytest.mark.parametrize("option", [IP_PKTINFO, IP_RECVTTL, socket.IP_RECVTOS], ids=["pktinfo", "ttl", "ecn"])
def test_udp(loop: Loop, run: Run, option: int) -> None:
    """S27.1: where a datagram came in, how far it has gone, whether the network is congested."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(Messages, local_addr=LOCAL) as (transport, protocol):
                set_option(transport, socket.SOL_IP, option, 1)
                peer.setsockopt(socket.SOL_IP, socket.IP_TOS, 2)
                peer.sendto(b"data", transport.get_extra_info("sockname"))
                await eventually(lambda: protocol.received)
                [(data, [(level, kind, content)], flags, addr)] = protocol.received
                assert (data, level, flags, addr) == (b"data", socket.SOL_IP, 0, peer.getsockname())
                if option == socket.IP_RECVTOS:
                    assert (kind, content) == (socket.IP_TOS, b"\2")
                elif option == IP_PKTINFO:
                    assert (kind, content[-4:]) == (IP_PKTINFO, socket.inet_aton("127.0.0.1"))
                else:
                    assert struct.unpack("i", content)[0] == peer.getsockopt(socket.SOL_IP, socket.IP_TTL)

    run(main())


@linux_only
@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6(loop: Loop, run: Run) -> None:
    """S27.1: several items at once, and addresses of four fields."""

    async def main() -> None:
        with udp("::1") as peer:
            async with endpoint(Messages, local_addr=("::1", 0)) as (transport, protocol):
                set_option(transport, socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                set_option(transport, socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
                peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 3)
                peer.sendto(b"data", transport.get_extra_info("sockname"))
                await eventually(lambda: protocol.received)
                [(data, ancdata, flags, addr)] = protocol.received
                assert (data, flags, addr) == (b"data", 0, peer.getsockname())
                items = {kind: content for _, kind, content in ancdata}
                assert items[socket.IPV6_PKTINFO][:16] == socket.inet_pton(socket.AF_INET6, "::1")
                assert items[socket.IPV6_TCLASS] == struct.pack("i", 3)
                transport.sendmsg(
                    b"answer", [(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, struct.pack("i", 2))], peer.getsockname()
                )
                peer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
                transport.sendmsg(b"another", addr=peer.getsockname())
                assert peer.recv(10) == b"answer"
                assert peer.recv(10) == b"another"

    run(main())


@linux_only
def test_timestamps(loop: Loop, run: Run) -> None:
    """S27.1: when the system took it."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(Messages, local_addr=LOCAL) as (transport, protocol):
                set_option(transport, socket.SOL_SOCKET, SO_TIMESTAMP, 1)
                before = time.time()
                peer.sendto(b"data", transport.get_extra_info("sockname"))
                await eventually(lambda: protocol.received)
                [(_, [(level, kind, content)], _, _)] = protocol.received
                seconds, microseconds = struct.unpack("ll", content)
                assert (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMP)
                assert before - 1 < seconds + microseconds / 1e6 < time.time() + 1

    run(main())


@pytest.mark.parametrize("debug", [False, True])
def test_descriptors(loop: Loop, run: Run, debug: bool) -> None:
    """S27.1: both ways; they are the protocol's, and no child inherits them."""
    loop.set_debug(debug)

    async def main() -> None:
        async with unix() as (transport, protocol, peer):
            transport.sendmsg(b"two", [rights(peer, transport.get_extra_info("socket"))])
            data, ancdata, _, _ = peer.recvmsg(10, socket.CMSG_SPACE(2 * INT))
            assert data == b"two"
            fds = descriptors(ancdata)
            files = [peer, transport.get_extra_info("socket")]
            assert [is_same(fd, file) for fd, file in zip(fds, files, strict=True)] == [True, True]
            peer.sendmsg([b"one"], [rights(peer)])
            await eventually(lambda: protocol.received)
            [(data, ancdata, flags, addr)] = protocol.received
            assert (data, flags, addr) == (b"one", 0, None)
            (fd,) = descriptors(ancdata)
            if sys.platform == "linux":
                assert not os.get_inheritable(fd)
            assert is_same(fd, peer)

    run(main())


def test_names_of_unix_peers(loop: Loop, run: Run, tmp_path: Any) -> None:
    """S26.5, S27.1: paths as addresses, in both directions."""

    async def main() -> None:
        here, there = str(tmp_path / "here"), str(tmp_path / "there")
        async with (
            endpoint(Messages, local_addr=here, family=socket.AF_UNIX) as (transport, protocol),
            endpoint(Messages, local_addr=there, family=socket.AF_UNIX) as (client, answers),
        ):
            client.sendmsg(b"hello", addr=here)
            await eventually(lambda: protocol.received)
            assert protocol.received == [(b"hello", [], 0, there)]
            transport.sendmsg(b"answer", [], there)
            await eventually(lambda: answers.received == [(b"answer", [], 0, here)])

    run(main())


def test_empty_messages(loop: Loop, run: Run) -> None:
    """S27.6: are messages, on every Python."""

    async def main() -> None:
        async with unix() as (transport, protocol, peer):
            peer.send(b"")
            await eventually(lambda: protocol.received == [(b"", [], 0, None)])
            for ancdata in (), [rights(peer)]:
                transport.sendmsg(b"", ancdata)
                data, received, _, _ = peer.recvmsg(1, ROOM)
                assert data == b""
                assert [is_same(fd, peer) for fd in descriptors(received)] == [True] * len(ancdata)

    run(main())


def test_truncated_data(loop: Loop, run: Run) -> None:
    """S27.2: the flags say so."""
    most = 1 << 18

    async def main() -> None:
        async with unix() as (_, protocol, peer):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * most)
            peer.send(b"x" * most)
            await eventually(lambda: protocol.received)
            peer.send(b"y" * (most + 1))
            await eventually(lambda: len(protocol.received) == 2)
            assert [len(data) for data in protocol.messages] == [most, most]
            assert [flags & socket.MSG_TRUNC for _, _, flags, _ in protocol.received] == [0, socket.MSG_TRUNC]

    run(main())


@pytest.mark.parametrize("room", [0, socket.CMSG_LEN(0)])
def test_truncated_ancillary_data(loop: Loop, run: Run, room: int) -> None:
    """S27.1: no descriptor comes in unseen."""

    async def main() -> None:
        async with unix() as (transport, protocol, peer):
            transport.receive_messages(room)
            before = open_fds()
            peer.sendmsg([b"data"], [rights(peer)])
            await eventually(lambda: protocol.received)
            [(data, ancdata, flags, _)] = protocol.received
            assert (data, descriptors(ancdata)) == (b"data", [])
            assert flags & socket.MSG_CTRUNC
            assert open_fds() == before

    run(main())


def test_from_any_time_on(loop: Loop, run: Run) -> None:
    """S27.2: the next datagram is a message, also of those that came in together."""

    class Late(Messages):
        def connection_made(self, transport: Any) -> None:
            Mailbox.connection_made(self, transport)

        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            self.transport.receive_messages(0)

    async def main() -> None:
        async with unix(Late) as (_, protocol, peer):
            for data in b"one", b"two", b"three":
                peer.send(data)
            await eventually(lambda: len(protocol.events) == 4)
            assert protocol.events[1:] == [
                ("datagram", b"one", None),
                ("message", b"two", [], 0, None),
                ("message", b"three", [], 0, None),
            ]

    run(main())


@pytest.mark.parametrize("size", [-1, 1 << 31, "1", None, 1.5])
def test_refused_sizes(loop: Loop, run: Run, size: Any) -> None:
    """S0.7: in the socket's words; nothing changes."""

    async def main() -> None:
        async with unix() as (transport, protocol, peer):
            assert refusal(transport.receive_messages, size) == refusal(peer.recvmsg, 1, size)
            with pytest.raises(OverflowError):
                transport.receive_messages(1 << 63)
            peer.send(b"data")
            await eventually(lambda: protocol.received)

    run(main())


@pytest.mark.parametrize("make", [Mailbox, type("Without", (Mailbox,), {"message_received": None})])
def test_no_such_method(loop: Loop, run: Run, make: Any) -> None:
    """S0.7: who asks for messages is to take them."""

    async def main() -> None:
        async with unix(make) as (transport, protocol, peer):
            with pytest.raises(TypeError, match=r"the protocol has no method message_received\(\): <"):
                transport.receive_messages(0)
            peer.send(b"data")
            await eventually(lambda: protocol.events[1:] == [("datagram", b"data", None)])

    run(main())


def test_after_the_end(loop: Loop, run: Run) -> None:
    """S27.10: nothing happens, as far as no system call is needed."""

    async def main() -> None:
        async with unix() as (transport, protocol, _):
            transport.abort()
            await eventually(lambda: protocol.lost)
            transport.receive_messages(0)
            transport.sendmsg(b"late", [rights(sys.stderr)])
            assert protocol.names == ["made", "lost"]

    run(main())


@pytest.mark.parametrize("step", ["close", "abort", "pause_reading"])
def test_ending_within_a_message(loop: Loop, run: Run, step: str) -> None:
    """S27.11: no other message is delivered, though it has come in already."""

    class Leaving(Messages):
        def message_received(self, *args: Any) -> None:
            super().message_received(*args)
            getattr(self.transport, step)()

    async def main() -> None:
        async with unix(Leaving) as (transport, protocol, peer):
            for data in b"one", b"two", b"three":
                peer.send(data)
            await eventually(lambda: protocol.received)
            for _ in range(3):
                await asyncio.sleep(0)
            assert protocol.messages == [b"one"]
            if step == "pause_reading":
                transport.resume_reading()
                await eventually(lambda: protocol.messages == [b"one", b"two"])

    run(main())


def test_others_have_their_turn(loop: Loop, run: Run) -> None:
    """S4.14: many messages do not keep the loop from everybody else."""
    seen: list[int] = []

    class Asking(Messages):
        def message_received(self, *args: Any) -> None:
            super().message_received(*args)
            loop.call_soon(lambda: seen.append(len(self.received)))

    async def main() -> None:
        with udp() as peer:
            async with endpoint(Asking, local_addr=LOCAL) as (transport, protocol):
                for n in range(40):
                    peer.sendto(b"%d" % n, transport.get_extra_info("sockname"))
                await eventually(lambda: len(protocol.received) == 40)
                assert seen[0] < 40
                assert protocol.messages == [b"%d" % n for n in range(40)]

    run(main())


def test_network_errors(loop: Loop, run: Run) -> None:
    """S27.3: nobody listens: the protocol hears of it, and the endpoint lives on."""

    async def main() -> None:
        with udp() as peer:
            name = peer.getsockname()
        async with endpoint(Messages, remote_addr=name) as (transport, protocol):
            transport.sendmsg(b"anybody?")
            await eventually(lambda: protocol.errors)
            assert [type(exc) for exc in protocol.errors] == [ConnectionRefusedError]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
                late.bind(name)
                late.sendto(b"yes", transport.get_extra_info("sockname"))
                await eventually(lambda: protocol.messages == [b"yes"])

    run(main())


def test_failing_message_received(loop: Loop, run: Run, errors: Errors) -> None:
    """S27.3: it is a failed callback, and the endpoint lives on. The descriptors were its own to close."""

    class Failing(Messages):
        def message_received(self, *args: Any) -> None:
            super().message_received(*args)
            raise TypeError("mine")

    async def main() -> None:
        async with unix(Failing) as (transport, protocol, peer):
            for _ in range(2):
                peer.sendmsg([b"hello"], [rights(peer)])
            await eventually(lambda: len(errors) == 2)
            assert errors[0]["message"].startswith("Exception in callback test_failing_message_received.<locals>.")
            assert repr(errors[0]["exception"]) == "TypeError('mine')"
            assert not transport.is_closing()
            assert all(is_same(*descriptors(ancdata), peer) for _, ancdata, _, _ in protocol.received)

    run(main())


class Plain(Mailbox):
    """Has no message_received."""


class Dynamic(Mailbox):
    """Neither, and says so itself."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class Without(Mailbox):
    """Has something else of that name."""

    message_received = None


@pytest.mark.parametrize("make", [Plain, Dynamic, Without])
def test_messages_that_nobody_takes(loop: Loop, run: Run, errors: Errors, make: Any) -> None:
    """S27.3: are failed callbacks, and their descriptors are closed."""

    async def main() -> None:
        async with unix() as (transport, protocol, peer):
            transport.set_protocol(make())
            before = open_fds()
            peer.sendmsg([b"hello"], [rights(peer, peer)])
            await eventually(lambda: errors)
            assert open_fds() == before
            assert isinstance(errors[0]["exception"], TypeError if make is Without else AttributeError)
            transport.set_protocol(protocol)
            peer.send(b"again")
            await eventually(lambda: protocol.messages == [b"again"])

    run(main())


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(os, "pidfd_open"), reason="Linux has pidfds")
def test_pidfds_that_nobody_takes(loop: Loop, run: Run, errors: Errors) -> None:
    """unix(7), SO_PASSPIDFD: are descriptors, too."""
    SO_PASSPIDFD = 76

    async def main() -> None:
        async with unix() as (transport, _, peer):
            try:
                set_option(transport, socket.SOL_SOCKET, SO_PASSPIDFD, 1)
            except OSError:
                pytest.skip("from Linux 6.5 on")
            transport.set_protocol(Plain())
            before = open_fds()
            peer.send(b"hello")
            await eventually(lambda: errors)
            assert open_fds() == before

    run(main())


@pytest.mark.parametrize("change", ["by another owner", "timeout"])
def test_a_socket_that_has_become_blocking(loop: Loop, run: Run, change: str) -> None:
    """S27.1: the mode is everybody's who shares the socket; the loop must not stand still for it."""

    async def main() -> None:
        async with unix() as (transport, protocol, peer):
            sock = transport.get_extra_info("socket")
            if change == "timeout":
                sock._sock.settimeout(5)
            else:
                os.set_blocking(sock.fileno(), True)
            started = time.monotonic()
            for message in (b"one", b"two", b"three"):
                peer.send(message)
            await eventually(lambda: protocol.messages == [b"one", b"two", b"three"])
            assert time.monotonic() - started < 4
            assert protocol.errors == []

    run(main())


def test_exit_requests_while_receiving(loop: Loop) -> None:
    """S0.11: a socket's own class may be asked to receive, and Ctrl-C comes when it likes."""

    class Interrupted(socket.socket):
        def recvmsg(self, *args: Any) -> Any:
            received.append(super().recvmsg(*args))
            raise KeyboardInterrupt

    received: list[Any] = []
    with udp() as peer, Interrupted(type=socket.SOCK_DGRAM) as sock:
        sock.bind(LOCAL)
        sock.setblocking(False)
        transport, protocol = loop.run_until_complete(loop.create_datagram_endpoint(Messages, sock=sock))
        peer.sendto(b"data", sock.getsockname())
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        assert (len(received), protocol.names, transport.is_closing()) == (1, ["made"], False)
        transport.abort()
        turn(loop, 2)


def test_exit_requests_end_the_run(loop: Loop) -> None:
    """S0.11: and the endpoint lives on."""

    class Quitter(Messages):
        def message_received(self, data: bytes, *args: Any) -> None:
            super().message_received(data, *args)
            if data == b"quit":
                raise SystemExit(3)

    with udp() as peer:
        transport, protocol = loop.run_until_complete(loop.create_datagram_endpoint(Quitter, local_addr=LOCAL))
        peer.sendto(b"quit", transport.get_extra_info("sockname"))
        with pytest.raises(SystemExit):
            loop.run_forever()
        peer.sendto(b"stay", transport.get_extra_info("sockname"))
        loop.run_until_complete(eventually(lambda: protocol.messages == [b"quit", b"stay"]))
        transport.close()
        turn(loop, 2)


def test_context(loop: Loop, run: Run) -> None:
    """S9.14: it is the endpoint's."""
    variable = contextvars.ContextVar("variable", default="nobody's")
    seen: list[str] = []

    class Looking(Messages):
        def message_received(self, *args: Any) -> None:
            seen.append(variable.get())
            variable.set("changed")

    async def main() -> None:
        variable.set("the creator's")
        async with unix(Looking) as (_, _, peer):
            variable.set("later")
            peer.send(b"one")
            peer.send(b"two")
            await eventually(lambda: len(seen) == 2)
            assert seen == ["the creator's", "changed"]

    run(main())
