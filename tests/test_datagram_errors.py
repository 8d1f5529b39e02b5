"""S27.3: what a datagram endpoint does about errors: of the network, of addresses, of its protocol."""

import asyncio
import errno
import socket
from typing import Any

import pytest
from support.datagrams import Mailbox, endpoint, udp
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import eventually
from support.turns import turn

Errors = list[dict[str, Any]]

LOCAL = ("127.0.0.1", 0)


def test_refusal(loop: Loop, run: Run) -> None:
    """S27.3: nobody listens: the protocol hears of it, and the endpoint lives on."""

    async def main() -> None:
        with udp() as peer:
            name = peer.getsockname()
        async with endpoint(remote_addr=name) as (transport, protocol):
            transport.sendto(b"anybody?")
            await eventually(lambda: protocol.errors)
            assert [type(exc) for exc in protocol.errors] == [ConnectionRefusedError]
            assert not transport.is_closing()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
                late.bind(name)
                late.settimeout(5)
                transport.sendto(b"and now?")
                assert late.recv(10) == b"and now?"
                late.sendto(b"yes", transport.get_extra_info("sockname"))
                await eventually(lambda: protocol.messages == [b"yes"])

    run(main())


def insist(transport: Any) -> None:
    """Send until the loopback device has brought the news of the first refusal."""
    for _ in range(1000):
        transport.sendto(b"still nobody?")


def test_refusal_is_met_by_the_next_send(loop: Loop, run: Run) -> None:
    """S27.3: in the caller's own step, where error_received may raise."""

    class Stern(Mailbox):
        def error_received(self, exc: Exception) -> None:
            super().error_received(exc)
            raise exc

    async def main() -> None:
        with udp() as peer:
            name = peer.getsockname()
        async with endpoint(Stern, remote_addr=name) as (transport, protocol):
            transport.sendto(b"anybody?")
            with pytest.raises(ConnectionRefusedError):
                insist(transport)
            assert [type(exc) for exc in protocol.errors] == [ConnectionRefusedError]
            assert not transport.is_closing()
            transport.pause_reading()

    run(main())


@pytest.mark.parametrize("address", ["text", ("127.0.0.1", 99999), ("127.0.0.1",), None, 7, ("127.0.0.1", "port")])
def test_no_address(loop: Loop, run: Run, errors: Errors, address: Any) -> None:
    """S27.3: what is no address is fatal, with the socket module's words."""
    with udp() as sock:
        with pytest.raises((TypeError, OverflowError)) as caught:
            sock.sendto(b"x", address)
        words = caught.value

    async def main() -> None:
        transport, protocol = await loop.create_datagram_endpoint(Mailbox, local_addr=LOCAL)
        transport.sendto(b"x", address)
        assert transport.is_closing()
        await eventually(lambda: protocol.lost)
        assert (type(protocol.lost[0]), str(protocol.lost[0])) == (type(words), str(words))
        assert [context["message"] for context in errors] == ["Fatal write error on datagram transport"]
        assert errors[0]["exception"] is protocol.lost[0]
        assert errors[0]["transport"] is transport
        assert errors[0]["protocol"] is protocol

    run(main())


def test_unreachable_addresses(loop: Loop, run: Run) -> None:
    """S27.3: a name nobody knows, or an address of another family, is an error of one datagram."""

    async def main() -> None:
        with udp() as peer:
            async with endpoint(local_addr=LOCAL) as (transport, protocol):
                transport.sendto(b"x", ("::1", peer.getsockname()[1]))
                assert [type(exc) for exc in protocol.errors] == [socket.gaierror]
                transport.sendto(b"next", peer.getsockname())
                assert peer.recv(10) == b"next"

    run(main())


@pytest.mark.parametrize("end", ["close", "abort"])
def test_ending_from_error_received(loop: Loop, run: Run, end: str) -> None:
    """S27.3: the protocol ends the endpoint over a datagram that is too long: one loss, and without a reason."""

    class Leaving(Mailbox):
        def error_received(self, exc: Exception) -> None:
            super().error_received(exc)
            getattr(self.transport, end)()

    async def main() -> None:
        transport, protocol = await loop.create_datagram_endpoint(Leaving, local_addr=LOCAL)
        for _ in range(2):
            transport.sendto(bytes(70_000), transport.get_extra_info("sockname"))
        assert transport.is_closing()
        await eventually(lambda: protocol.lost)
        await asyncio.sleep(0.002)
        assert [exc.errno for exc in protocol.errors] == [errno.EMSGSIZE] * 2
        assert protocol.lost == [None]

    run(main())


def test_failing_datagram_received(loop: Loop, run: Run, errors: Errors) -> None:
    """S27.3: it is a failed callback, and the endpoint lives on."""

    class Failing(Mailbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            raise LookupError("mine")

    async def main() -> None:
        with udp() as peer:
            async with endpoint(Failing, local_addr=LOCAL) as (transport, protocol):
                for _ in range(2):
                    peer.sendto(b"hello", transport.get_extra_info("sockname"))
                await eventually(lambda: len(errors) == 2)
                assert errors[0]["message"].startswith("Exception in callback")
                assert repr(errors[0]["exception"]) == "LookupError('mine')"
                assert not transport.is_closing()
                assert protocol.names == ["made", "datagram", "datagram"]

    run(main())


def test_no_datagram_received(loop: Loop, run: Run, errors: Errors) -> None:
    """S27.3, S9.14: a protocol without the method is a failed callback, and the run goes on."""

    async def main() -> None:
        async with endpoint(local_addr=LOCAL) as (transport, protocol):
            transport.set_protocol(None)
            with udp() as peer:
                peer.sendto(b"x", transport.get_extra_info("sockname"))
                await eventually(lambda: errors)
            transport.set_protocol(protocol)
        (context,) = errors
        assert context["message"].startswith("Exception in callback ")
        assert isinstance(context["exception"], AttributeError)

    run(main())


def test_failing_error_received(loop: Loop, run: Run, errors: Errors) -> None:
    """S27.3: called by the loop it is a failed callback, too."""

    class Failing(Mailbox):
        def error_received(self, exc: Exception) -> None:
            super().error_received(exc)
            raise LookupError("mine")

    async def main() -> None:
        with udp() as peer:
            name = peer.getsockname()
        async with endpoint(Failing, remote_addr=name) as (transport, protocol):
            transport.sendto(b"nobody?")
            await eventually(lambda: errors)
            assert errors[0]["message"].startswith("Exception in callback")
            assert repr(errors[0]["exception"]) == "LookupError('mine')"
            assert not transport.is_closing()
            assert protocol.names == ["made", "error"]

    run(main())


def test_exit_requests_end_the_run(loop: Loop) -> None:
    """S0.11: and the endpoint lives on."""

    class Quitter(Mailbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
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


@ferroloop_only("EBADF for ever, or a stranger's datagrams", "S7.8")
def test_socket_closed_behind_the_transport(loop: Loop, run: Run) -> None:
    """S7.8, S27.3: sends are errors of the socket; nothing is read from whoever has its number now."""

    async def main() -> None:
        with udp() as sock, udp() as stranger, udp() as peer:
            transport, protocol = await loop.create_datagram_endpoint(Mailbox, sock=sock)
            fd = sock.fileno()
            sock.close()
            copy = socket.socket(fileno=stranger.detach())
            with copy:
                assert copy.fileno() != fd
                transport.sendto(b"x", peer.getsockname())
                assert [exc.errno for exc in protocol.errors] == [9]
                transport.abort()
                await eventually(lambda: protocol.lost)

    run(main())
