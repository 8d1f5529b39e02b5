"""OpenSSL's own s_server and s_client as peers: TLS 1.2 and 1.3, client certificates, ALPN."""

import asyncio
import contextlib
import ssl
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from typing import Any

from common import client_tls, raises, run, server_tls

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
LINES = [b"%d %s\n" % (number, b"x" * 300) for number in range(200)]


async def main(places: dict[str, Any]) -> None:
    for version in VERSIONS:
        await as_client(places, version)
        await as_server(places, version)


def option(version: str) -> str:
    return "-" + version.lower().replace("v", "").replace(".", "_")


@contextlib.asynccontextmanager
async def openssl(places: dict[str, Any], *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running openssl command, ended afterwards."""
    process = await asyncio.create_subprocess_exec(
        places["openssl"], *arguments, stdin=PIPE, stdout=PIPE, stderr=STDOUT, limit=1 << 20
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def identity(places: dict[str, Any], name: str) -> list[str]:
    keys = places["keys"]
    return ["-cert", f"{keys}/{name}.pem", "-key", f"{keys}/{name}.key", "-CAfile", f"{keys}/ca.pem"]


async def as_client(places: dict[str, Any], version: str) -> None:
    """Against an s_server that demands a certificate and answers each line reversed."""
    arguments = ["-accept", "127.0.0.1:0", "-Verify", "1", "-verify_return_error", "-alpn", "second", "-rev"]
    async with openssl(places, "s_server", *identity(places, "server"), option(version), *arguments) as process:
        assert process.stdout is not None
        while not (line := await process.stdout.readline()).startswith(b"ACCEPT"):
            assert line, "s_server has ended"
        port = int(line.rpartition(b":")[2])
        discarding = asyncio.ensure_future(process.stdout.read())

        context = client_tls(places, certificate=True)
        context.set_alpn_protocols(["first", "second"])
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        tls = writer.get_extra_info("ssl_object")
        assert (tls.version(), tls.selected_alpn_protocol()) == (version, "second")
        assert writer.get_extra_info("peercert")["subjectAltName"]
        writer.writelines(LINES)
        for line in LINES:
            assert await reader.readline() == line[-2::-1] + b"\n"
        writer.close()
        await writer.wait_closed()

        with raises(ssl.SSLError, ConnectionError):
            await without_certificate(places, port)
        process.kill()
        await discarding


async def without_certificate(places: dict[str, Any], port: int) -> None:
    """In TLS 1.3 the refusal comes after the client's handshake is done."""
    reader, writer = await asyncio.open_connection("localhost", port, ssl=client_tls(places))
    try:
        writer.write(b"line\n")
        if not await reader.readline():
            raise ConnectionResetError
    finally:
        writer.transport.abort()


async def as_server(places: dict[str, Any], version: str) -> None:
    """For an s_client that shows a certificate; and for one without, which is refused."""
    seen: list[tuple[Any, ...]] = []

    async def reverse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls = writer.get_extra_info("ssl_object")
        subject = dict(name[0] for name in tls.getpeercert()["subject"])
        seen.append((tls.version(), tls.selected_alpn_protocol(), subject))
        async for line in reader:
            writer.write(line[-2::-1] + b"\n")
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    context = server_tls(places)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = VERSIONS[version]
    context.set_alpn_protocols(["second"])
    async with await asyncio.start_server(reverse, "127.0.0.1", 0, ssl=context) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        arguments = ["s_client", "-connect", address, "-verify_return_error", "-alpn", "first,second", "-quiet"]
        async with openssl(places, *arguments, *identity(places, "client")) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.writelines(LINES)
            for line in LINES:
                reply = line[-2::-1] + b"\n"
                while (got := await process.stdout.readline()) != reply:
                    # What s_client says of the certificates comes first.
                    assert line == LINES[0], got
                    assert got, "s_client has ended"
        assert len(seen) == 1
        assert seen[0][:2] == (version, "second")
        async with openssl(places, *arguments, "-CAfile", f"{places['keys']}/ca.pem") as process:
            output, _ = await process.communicate(b"line\n")
            assert b"enil" not in output
        assert len(seen) == 1


run(main)
