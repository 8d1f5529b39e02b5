"""S22: TLS by OpenSSL itself or by the methods of SSLObject: which of the two, and that it makes no difference."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import loops
from support.certificates import authority, client_context, server_context
from support.gates import FREE_THREADED, direct_tls, ferroloop_only
from support.libssl import update_keys
from support.log import LogList
from support.loops import Run
from support.net import eventually, unix_pair
from support.protocols import BufferedRecorder, Recorder
from support.scripts import Script, environment, run_python
from support.tls import tls_connection

pytestmark = pytest.mark.tls_engines

OURS = ferroloop_only("asyncio has one engine", spec="S22")
SIDES = pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])
BLOB = bytes(range(256)) * 1024


def engine(transport: Any) -> str:
    """Which one a connection uses."""
    name: str = transport._ssl_protocol._engine
    return name


@OURS
@SIDES
def test_choice(run: Run, loop_kind: str, server_side: bool) -> None:
    """The direct engine unless the loop was told otherwise, or Python is a free-threaded build."""
    portable = loop_kind == loops.PORTABLE or FREE_THREADED

    async def main() -> None:
        async with tls_connection(server_side=server_side) as (transport, _, _):
            assert engine(transport) == ("portable" if portable else "direct")

    run(main())


@OURS
@direct_tls
def test_option(loop: Any, run: Run) -> None:
    """The loop's option, for connections yet to come."""

    async def main(expected: str) -> None:
        assert loop.get_tls_engine() == expected
        async with tls_connection() as (transport, _, _):
            for other in ("portable", "direct"):
                loop.set_tls_engine(other)
                assert engine(transport) == expected

    loop.set_tls_engine("portable")
    run(main("portable"))
    run(main("direct"))
    # As from a wrong FERROLOOP_TLS_ENGINE: nobody should believe to have chosen.
    with pytest.raises(ValueError, match="a TLS engine is 'direct' or 'portable', got 'openssl'"):
        loop.set_tls_engine("openssl")
    assert loop.get_tls_engine() == "direct"


@OURS
@pytest.mark.parametrize(("value", "expected"), [("portable", "portable"), ("direct", "direct"), ("", "direct")])
def test_environment(run_script: Callable[..., Script], loop_kind: str, value: str, expected: str) -> None:
    """FERROLOOP_TLS_ENGINE is what new loops begin with."""
    code = "loop = new_event_loop(); print(loop.get_tls_engine()); loop.close()"
    script = run_script(code, env=environment(FERROLOOP_TLS_ENGINE=value))
    assert script.out.strip() == ("portable" if loop_kind == loops.PORTABLE else expected)


@OURS
def test_wrong_environment(loop_kind: str) -> None:
    """Who reads that the import failed learns which variable to look at."""
    wrong = environment(FERROLOOP_TLS_ENGINE="openssl")
    script = run_python(loops.imports(loops.SUBJECT), env=wrong, check=False)
    assert "ValueError: FERROLOOP_TLS_ENGINE: a TLS engine is 'direct' or 'portable', got 'openssl'" in script.err


class OwnObject(ssl.SSLObject):
    """Anybody may override what it does."""


def own_class(context: ssl.SSLContext, _: Path) -> None:
    context.sslobject_class = OwnObject


def messages(context: ssl.SSLContext, _: Path) -> None:
    context._msg_callback = lambda *args: None


def keys(context: ssl.SSLContext, directory: Path) -> None:
    context.keylog_filename = str(directory / "keys")


@ferroloop_only("asyncio has one engine", spec="S22")
@direct_tls
@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        (own_class, "the SSLObject is of a class of its own"),
        (messages, "the context has callbacks for messages or keys"),
        (keys, "the context has callbacks for messages or keys"),
    ],
    ids=["class", "messages", "keys"],
)
def test_doubts_about_a_connection(
    run: Run, loop: Any, logged: LogList, tmp_path: Path, change: Callable[..., None], doubt: str
) -> None:
    """What Python could notice keeps a connection with its SSLObject, which works as ever."""
    loop.set_debug(True)
    loop.set_tls_engine("direct")

    async def main() -> None:
        context = client_context()
        change(context, tmp_path)
        async with tls_connection(context=context) as (transport, protocol, peer):
            assert engine(transport) == "portable"
            assert any(text.endswith(f"stays with its SSLObject: {doubt}") for text in logged.texts(logging.DEBUG))
            await peer.send(b"hello")
            await eventually(lambda: protocol.data == b"hello")
        context.keylog_filename = None  # closes the file: the log's records hold the connection

    run(main())


# A client that talks to itself, by way of a server of its own.
CHILD = """
import asyncio, logging, ssl, sys

async def echo(reader, writer):
    writer.write(await reader.readexactly(5))
    writer.close()

async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    trusting = ssl.create_default_context(cafile=sys.argv[2])
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
    print(writer.transport._ssl_protocol._engine)
    writer.write(b"hello")
    assert await reader.read() == b"hello"
    writer.close()
    server.close()

logging.basicConfig(level=logging.DEBUG)
loop = new_event_loop()
loop.set_tls_engine("direct")
loop.set_debug(True)
exec(sys.argv[3])
loop.run_until_complete(main())
loop.close()
"""

LIES = {
    "free-threaded": ("sys.abiflags += 't'", "the layout of this Python's SSL objects is not known"),
    "library": ("import ssl; ssl.OPENSSL_VERSION = 'LibreSSL 4.1.0'", "the TLS library is not OpenSSL"),
    "static": ("import _ssl; del _ssl.__file__", "the _ssl module is part of the interpreter"),
    "missing": ("import _ssl; _ssl.__file__ = '/nowhere/_ssl.so'", "the _ssl module is no shared object"),
    "hidden": (
        "import _ssl, ferroloop._ferroloop as other; _ssl.__file__ = other.__file__",
        "OpenSSL's functions are hidden in the _ssl module",
    ),
    "other": ("import ssl; ssl.OPENSSL_VERSION_NUMBER += 1", "another OpenSSL was found than the ssl module's"),
    "odd": ("import ssl; ssl.OPENSSL_VERSION_NUMBER = 'three'", "the ssl module is not as CPython's"),
    "layout": (
        "import ssl; ssl.SSLObject.version = lambda self: 'TLSv9'",
        "the layout of this Python's SSL objects is not the known one",
    ),
}


PROXY = """
import _ssl, ssl

class Proxy:
    # Where the layout has a socket, of which there is none, an SSL and a context.
    __slots__ = ("a", "b", "c", "real")
    __class__ = property(lambda self: _ssl._SSLSocket)

    def __init__(self, real, context):
        self.real, self.b, self.c = real, [context] * 64, context

    def __getattr__(self, name):
        return getattr(self.real, name)

wrap = ssl.SSLContext._wrap_bio
ssl.SSLContext._wrap_bio = lambda self, *args, **options: Proxy(wrap(self, *args, **options), self)
"""
LIES["class"] = (PROXY, "the layout of this Python's SSL objects is not the known one")


@ferroloop_only("asyncio has one engine", spec="S22")
@direct_tls
@pytest.mark.parametrize("lie", LIES)
def test_doubts_about_the_interpreter(run_script: Callable[..., Script], tmp_path: Path, lie: str) -> None:
    """Whatever is not as it should be, TLS works all the same."""
    code, doubt = LIES[lie]
    server, trusted = tmp_path / "server.pem", tmp_path / "authority.pem"
    authority().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(server))
    authority().cert_pem.write_to_path(str(trusted))
    script = run_script(CHILD, arguments=[str(server), str(trusted), code])
    assert script.out.split("\n")[0] == "portable"
    assert f"stays with its SSLObject: {doubt}" in script.err


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@SIDES
@pytest.mark.parametrize("buffered", [False, True], ids=["protocol", "buffered"])
def test_versions(run: Run, version: ssl.TLSVersion, server_side: bool, buffered: bool) -> None:
    """S22.11: records of both formats, there and back."""

    def make() -> Any:
        return BufferedRecorder(lambda hint: memoryview(bytearray(3000))) if buffered else Recorder()

    async def main() -> None:
        context = server_context() if server_side else client_context()
        context.minimum_version = context.maximum_version = version
        async with tls_connection(make, server_side, context=context) as (transport, protocol, peer):
            sending = asyncio.ensure_future(peer.send(BLOB))
            transport.write(BLOB)
            assert await peer.receive(len(BLOB)) == BLOB
            await sending
            await eventually(lambda: protocol.data == BLOB)

    run(main())


def aes_with_hmac(context: ssl.SSLContext) -> None:
    """Records with more around their data than those of the AEAD ciphers."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384")


@pytest.mark.parametrize("change", [lambda context: None, aes_with_hmac], ids=["default", "hmac"])
def test_records_across_all_borders(run: Run, change: Callable[[ssl.SSLContext], None]) -> None:
    """S22: chunks shorter and longer than a record, together longer than what is sent at once."""
    sizes = [1, 16384, 5, 16385, 60_000, 65_536, 3, 100_000, *range(1000, 1040), 16383]
    chunks = [BLOB[:size] for size in sizes]

    async def main() -> None:
        context = client_context()
        change(context)
        async with tls_connection(pair=unix_pair, context=context) as (transport, _, peer):
            transport.writelines(chunks)
            for chunk in chunks:
                transport.write(chunk)
            assert await peer.receive(2 * sum(sizes)) == b"".join(chunks) * 2

    run(main())


@pytest.mark.parametrize("size", [10, 50_000])
def test_end_in_the_same_read(run: Run, size: int) -> None:
    """S22.13: the peer's close_notify right behind its data."""

    async def main() -> None:
        async with tls_connection(pair=unix_pair) as (_, protocol, peer):
            records = peer.records(BLOB[:size])
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.tls.unwrap()
            await peer.send_raw(records + peer.outgoing.read())
            await eventually(lambda: protocol.lost)
            assert protocol.data == BLOB[:size]
            assert protocol.names[-2:] == ["eof", "lost"]

    run(main())


@ferroloop_only("loses what came in the same read as the error", spec="S22.10")
@pytest.mark.parametrize("size", [10, 50_000])
def test_forged_record_in_the_same_read(run: Run, size: int) -> None:
    """What came before the error was received, and what came after it was not."""

    async def main() -> None:
        async with tls_connection(pair=unix_pair) as (_, protocol, peer):
            good, forged, late = (peer.records(BLOB[:size]) for _ in range(3))
            await peer.send_raw(good + forged[:-3] + bytes([forged[-3] ^ 1]) + forged[-2:] + late)
            await eventually(lambda: protocol.lost)
            assert isinstance(protocol.lost[0], ssl.SSLError)
            whole_records = BLOB[: size // 16384 * 16384]
            assert protocol.data == BLOB[:size] + whole_records

    run(main())


@SIDES
def test_key_update(run: Run, server_side: bool) -> None:
    """RFC 8446, 4.6.3: the peer changes its keys and asks for ours, again and again, while data flows both ways."""

    async def main() -> None:
        async with tls_connection(server_side=server_side) as (transport, protocol, peer):
            for count in range(1, 4):
                update_keys(peer.tls)
                await peer.send(b"peer's")
                await eventually(lambda count=count: protocol.data == b"peer's" * count)
                transport.write(b"ours")
                assert await peer.receive(4) == b"ours"

    run(main())


def test_reading_changes_nothing_while_paused(run: Run) -> None:
    """S22.12: records that come in parts while the application pauses, then all at once."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            transport.pause_reading()
            peer.piece = 1000
            await peer.send(BLOB[:50_000])
            await eventually(lambda: transport.get_read_buffer_size() >= 50_000)
            assert protocol.data == b""
            transport.resume_reading()
            await eventually(lambda: protocol.data == BLOB[:50_000])
            await peer.send(b"!")
            await eventually(lambda: protocol.data == BLOB[:50_000] + b"!")

    run(main())
