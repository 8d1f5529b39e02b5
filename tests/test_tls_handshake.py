"""S22.8-S22.11: from a connected socket to a TLS connection, and what can go wrong on the way."""

import asyncio
import logging
import ssl
import textwrap
from typing import Any

import pytest
from support import loops
from support.certificates import HOST, client_context, server_context
from support.log import LogList
from support.loops import Loop, Run
from support.net import connection, eventually, tcp_pair, unix_pair
from support.protocols import Recorder
from support.scripts import run_python
from support.tls import Peer, tls_connection

pytestmark = pytest.mark.tls_engines

Errors = list[dict[str, Any]]
SIDES = pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])


@SIDES
@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
def test_handshake(run: Run, server_side: bool, pair: Any) -> None:
    """S22.8: connection_made comes after the handshake, with a transport that can be written to at once."""

    class Greeter(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.write(b"hello")

    async def main() -> None:
        async with tls_connection(Greeter, server_side, pair) as (transport, protocol, peer):
            assert protocol.transport is transport
            assert isinstance(transport, asyncio.Transport)
            assert transport.get_protocol() is protocol
            assert await peer.receive(5) == b"hello"
            assert protocol.names == ["made"]

    run(main())


@SIDES
def test_failing_connection_made(run: Run, errors: Errors, server_side: bool) -> None:
    """S16.9: reported as asyncio has it, whose TLS brings its own buffers; and whoever connects hears of it."""

    class Failing(Recorder):
        def connection_made(self, transport: Any) -> None:
            raise LookupError("mine")

    async def main() -> None:
        with pytest.raises(LookupError):
            async with tls_connection(Failing, server_side):
                raise AssertionError("connected")
        (context,) = errors
        assert context["message"] == "Fatal error: protocol.buffer_updated() call failed."

    run(main())


@SIDES
def test_extra_info(run: Run, server_side: bool) -> None:
    """S22.11."""

    async def main() -> None:
        context = (server_context if server_side else client_context)()
        async with tls_connection(server_side=server_side, context=context) as (transport, _, _):
            info = transport.get_extra_info
            assert info("sslcontext") is transport._ssl_protocol._sslcontext is context
            assert type(info("ssl_object")) is ssl.SSLObject
            assert info("ssl_object").context is context
            assert info("ssl_object").server_side is server_side
            assert info("cipher") == info("ssl_object").cipher()
            assert info("compression") is None
            names = dict(info("peercert") or {}).get("subjectAltName")
            assert names == (None if server_side else (("DNS", HOST),))
            assert info("peername")[0] == "127.0.0.1"
            assert info("socket").fileno() > 0
            assert info("nothing", 7) == 7

    run(main())


def test_server_hostname(run: Run, loop: Loop) -> None:
    """S14, S22.8: the name goes into the handshake and is what the certificate must carry."""

    async def main() -> None:
        asked: list[Any] = []
        context = server_context()
        context.sni_callback = lambda tls, name, context: asked.append(name)
        async with tls_connection(peer_context=context) as (transport, _, _):
            assert transport.get_extra_info("ssl_object").server_hostname == HOST
        assert asked == [HOST]
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            async with tls_connection(peer_context=server_context("other.example")):
                raise AssertionError("connected")

    run(main())


@pytest.mark.parametrize("host", [HOST, HOST.encode()])
def test_host(run: Run, loop: Loop, host: str | bytes) -> None:
    """S14, S22.8: the name to check is that of the host, in either form."""

    async def main() -> None:
        asked: list[Any] = []
        context = server_context()
        context.sni_callback = lambda tls, name, context: asked.append(name)
        server = await loop.create_server(asyncio.Protocol, HOST, 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        transport, protocol = await loop.create_connection(Recorder, host, port, ssl=client_context())
        assert asked == [HOST]
        transport.abort()
        await eventually(lambda: protocol.lost)
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("name", [None, ""])
def test_no_name_to_check(run: Run, loop: Loop, name: str | None) -> None:
    """S22.8: a context that wants to check a name gets none. Whether that is an error is for the ssl module to say."""
    context, bios = client_context(), (ssl.MemoryBIO(), ssl.MemoryBIO())
    try:
        context.wrap_bio(*bios, server_hostname=None)
        refusal = None
    except ValueError as exc:
        refusal = str(exc)

    async def main() -> None:
        async with connection() as (transport, protocol, sock):
            if refusal is not None:
                with pytest.raises(ValueError, match=f"^{refusal}$"):
                    await loop.start_tls(transport, protocol, context, server_hostname=name)
                assert transport.get_protocol() is protocol
            else:
                shaking = loop.create_task(Peer(sock, server_context()).handshake())
                upgraded = await loop.start_tls(transport, protocol, context, server_hostname=name)
                await shaking
                assert upgraded is not None
                assert upgraded.get_extra_info("ssl_object").server_hostname is None

    run(main())


def test_sni_callback_swaps_the_context(run: Run) -> None:
    """S22: the server's callback runs, and the context it chooses is the one that is used."""

    async def main() -> None:
        context, chosen = server_context("other.example"), server_context()

        def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            assert name == HOST
            tls.context = chosen

        context.sni_callback = choose
        async with tls_connection(server_side=True, context=context) as (transport, _, peer):
            assert dict(peer.tls.getpeercert() or {})["subjectAltName"] == (("DNS", HOST),)
            assert transport.get_extra_info("ssl_object").context is chosen

    run(main())


@SIDES
def test_alpn(run: Run, server_side: bool) -> None:
    """S22."""

    async def main() -> None:
        server, client = server_context(), client_context()
        server.set_alpn_protocols(["h2", "http/1.1"])
        client.set_alpn_protocols(["http/1.1"])
        ours, theirs = (server, client) if server_side else (client, server)
        async with tls_connection(server_side=server_side, context=ours, peer_context=theirs) as (transport, _, peer):
            assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            assert peer.tls.selected_alpn_protocol() == "http/1.1"

    run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("limit", ["minimum_version", "maximum_version"])
@SIDES
def test_versions(run: Run, version: ssl.TLSVersion, limit: str, server_side: bool) -> None:
    """S22: the context's limits hold, whoever sets them."""

    async def main() -> None:
        ours = (server_context if server_side else client_context)()
        setattr(ours, limit, version)
        async with tls_connection(server_side=server_side, context=ours) as (transport, _, peer):
            expected = "TLSv1.2" if (limit, version) == ("maximum_version", ssl.TLSVersion.TLSv1_2) else "TLSv1.3"
            assert transport.get_extra_info("ssl_object").version() == expected
            assert transport.get_extra_info("cipher")[1] == expected
            assert peer.tls.version() == expected

    run(main())


def test_client_certificate(run: Run) -> None:
    """S22: the server sees it."""

    async def main() -> None:
        server = server_context(ask_client=True)
        client = client_context("client.example")
        async with tls_connection(server_side=True, context=server, peer_context=client) as (transport, _, _):
            assert transport.get_extra_info("peercert")["subjectAltName"] == (("DNS", "client.example"),)

    run(main())


def test_session_reuse(run: Run) -> None:
    """S22: a session made over one transport resumes elsewhere (TLS 1.2: it is there with the handshake)."""

    async def main() -> None:
        client, server = client_context(), server_context()
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        async with tls_connection(context=client, peer_context=server) as (transport, _, _):
            session = transport.get_extra_info("ssl_object").session
        left, right = unix_pair()
        ours, peer = Peer(left, client, server_side=False), Peer(right, server)
        ours.tls = client.wrap_bio(ours.incoming, ours.outgoing, server_hostname=HOST, session=session)
        await asyncio.gather(ours.handshake(), peer.handshake())
        assert ours.tls.session_reused
        left.close()
        right.close()

    run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_session_resumed_by_a_client(run: Run, version: ssl.TLSVersion) -> None:
    """S22: our servers take up sessions; the tickets of TLS 1.3 go out after the handshake (RFC 8446, 4.6.1)."""

    async def main() -> None:
        client, server = client_context(), server_context()
        client.minimum_version = client.maximum_version = version
        async with tls_connection(server_side=True, context=server, peer_context=client) as (transport, _, peer):
            transport.write(b"x")
            assert await peer.receive(1) == b"x"
            session = peer.tls.session
            assert session is not None
            assert session.has_ticket
        left, right = unix_pair()
        peer = Peer(right, client, server_side=False)
        peer.tls = client.wrap_bio(peer.incoming, peer.outgoing, server_hostname=HOST, session=session)
        shaking = asyncio.ensure_future(peer.handshake())
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_accepted_socket(Recorder, left, ssl=server)
        await shaking
        assert transport.get_extra_info("ssl_object").session_reused
        assert peer.tls.session_reused
        transport.abort()
        await eventually(lambda: protocol.lost)
        right.close()

    run(main())


@SIDES
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("piece", [1, 2, 3, 5, 50])
def test_split_handshake(run: Run, server_side: bool, version: ssl.TLSVersion, piece: int) -> None:
    """S22: messages may come byte by byte."""

    async def main() -> None:
        left, right = unix_pair()
        context = client_context() if server_side else server_context()
        context.maximum_version = version
        peer = Peer(right, context, not server_side)
        peer.piece = piece
        shaking = asyncio.ensure_future(peer.handshake())
        loop = asyncio.get_running_loop()
        if server_side:
            made = loop.connect_accepted_socket(Recorder, left, ssl=server_context())
        else:
            made = loop.create_connection(Recorder, sock=left, ssl=client_context(), server_hostname=HOST)
        transport, protocol = await made
        await shaking
        await peer.send(b"split")
        await eventually(lambda: protocol.data == b"split")
        transport.abort()
        await eventually(lambda: protocol.lost)
        right.close()

    run(main())


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
@pytest.mark.parametrize("seconds", [0, -1])
@SIDES
def test_wrong_timeouts(run: Run, loop: Loop, name: str, seconds: float, server_side: bool) -> None:
    """S22.9; the socket is closed."""

    async def main() -> None:
        left, right = tcp_pair()
        if server_side:
            making = loop.connect_accepted_socket(Recorder, left, ssl=server_context(), **{name: seconds})
        else:
            making = loop.create_connection(
                Recorder, sock=left, ssl=client_context(), server_hostname=HOST, **{name: seconds}
            )
        with pytest.raises(ValueError, match=f"^{name} should be a positive number, got {seconds}$"):
            await making
        left.close()
        right.close()

    run(main())


def test_server_without_context(run: Run, loop: Loop) -> None:
    """S22.8."""

    async def main() -> None:
        left, right = tcp_pair()
        with pytest.raises(ValueError, match=r"^Server side SSL needs a valid SSLContext$"):
            await loop.connect_accepted_socket(Recorder, left, ssl=True)
        left.close()
        right.close()

    run(main())


@pytest.mark.parametrize("name", [HOST, ""])
def test_default_context(run: Run, loop: Loop, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S22.8: `ssl=True` verifies; without a name it does not check that, but still the certificate."""
    made: list[ssl.SSLContext] = []
    monkeypatch.setattr(ssl, "create_default_context", lambda: made.append(client_context()) or made[-1])

    async def main() -> None:
        left, right = tcp_pair()
        peer = Peer(right, server_context())
        shaking = loop.create_task(peer.handshake())
        transport, protocol = await loop.create_connection(Recorder, sock=left, ssl=True, server_hostname=name)
        await shaking
        assert transport.get_extra_info("sslcontext") is made[0]
        assert made[0].check_hostname is bool(name)
        assert made[0].verify_mode is ssl.CERT_REQUIRED
        transport.abort()
        await eventually(lambda: protocol.lost)
        right.close()

    run(main())


def test_timeout_does_not_outlive_the_handshake(run: Run) -> None:
    """S22.10."""

    async def main() -> None:
        async with tls_connection(ssl_handshake_timeout=1) as (_, protocol, peer):
            await asyncio.sleep(1.1)
            await peer.send(b"alive")
            await eventually(lambda: protocol.data == b"alive")

    run(main())


def test_debug_log(run: Run, loop: Loop, logged: LogList) -> None:
    """S22: debug mode times the handshake."""
    loop.set_debug(True)

    async def main() -> None:
        async with tls_connection():
            pass

    run(main())
    texts = logged.texts(logging.DEBUG)
    assert sum(text.endswith("starts SSL handshake") for text in texts) == 1
    assert sum("SSL handshake took" in text and text.endswith("ms") for text in texts) == 1


def test_without_ssl_module(loop_kind: str) -> None:
    """S22.1: everything but TLS works on a Python without OpenSSL."""
    without = "import sys; sys.modules['_ssl'] = None\n"
    script = run_python(without + loops.imports(loop_kind) + textwrap.dedent(WITHOUT_SSL))
    assert script.out == "Python ssl module is not available\n", script


WITHOUT_SSL = """
    import asyncio

    loop = new_event_loop()

    async def main():
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        transport, protocol = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        try:
            await loop.start_tls(transport, protocol, None)
        except RuntimeError as exc:
            print(exc)
        transport.close()
        server.close()
        await asyncio.sleep(0.05)

    loop.run_until_complete(main())
    loop.close()
"""
