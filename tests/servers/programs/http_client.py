"""aiohttp's client against nginx: plain and TLS, kept-alive connections, 1 GiB down, uploads."""

import asyncio
import os
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from common import client_tls, run

MIB = 1024 * 1024
GIB = 1024 * MIB
BODY = os.urandom(8 * MIB)


async def main(places: dict[str, Any]) -> None:
    server = places["nginx"]
    root = Path(server["root"])
    (root / "small").write_bytes(b"hello" * 20)
    await everything(f"http://localhost:{server['port']}", root, aiohttp.TCPConnector(limit=50), GIB)
    tls = aiohttp.TCPConnector(limit=50, ssl=client_tls(places))
    await everything(f"https://localhost:{server['tls_port']}", root, tls, 256 * MIB)


async def everything(url: str, root: Path, connector: aiohttp.BaseConnector, size: int) -> None:
    made: list[Any] = []

    async def count(session: Any, context: Any, parameters: Any) -> None:
        made.append(parameters)

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(count)
    async with aiohttp.ClientSession(url, connector=connector, trace_configs=[trace]) as session:
        await requests(session, made)
        await download(session, root, size)
        await uploads(session, root)
    assert list(root.glob("upload/*")) == []


async def requests(session: aiohttp.ClientSession, made: list[Any]) -> None:
    """One after the other over one connection, then many at once."""

    async def get(_: object) -> None:
        async with session.get("/small") as response:
            assert response.status == 200
            assert await response.read() == b"hello" * 20

    for number in range(300):
        await get(number)
    assert len(made) == 1
    await asyncio.gather(*map(get, range(1000)))
    assert len(made) <= 50
    async with session.get("/missing") as response:
        assert response.status == 404


async def download(session: aiohttp.ClientSession, root: Path, size: int) -> None:
    """A sparse file with a few bytes of its own every 32 MiB."""
    path = root / "large"
    with open(path, "wb") as file:
        file.truncate(size)
        for offset in range(0, size, 32 * MIB):
            os.pwrite(file.fileno(), b"at %d" % offset, offset)
    total = checksum = 0
    async with session.get("/large", timeout=aiohttp.ClientTimeout(120)) as response:
        assert response.content_length == size
        async for piece in response.content.iter_any():
            total += len(piece)
            checksum = zlib.crc32(piece, checksum)
    assert total == size
    expected = 0
    with open(path, "rb") as file:
        while piece := file.read(MIB):
            expected = zlib.crc32(piece, expected)
    assert checksum == expected
    path.unlink()


async def uploads(session: aiohttp.ClientSession, root: Path) -> None:
    """Of bytes, of a file, and of chunks that come by and by."""
    source = root / "source"
    source.write_bytes(BODY)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(BODY), 100_000):
            yield BODY[start : start + 100_000]
            await asyncio.sleep(0)

    with open(source, "rb") as file:
        for name, body in {"bytes": BODY, "file": file, "pieces": pieces()}.items():
            async with session.put(f"/upload/{name}", data=body) as response:
                assert response.status == 201, await response.text()
            assert (root / "upload" / name).read_bytes() == BODY
            (root / "upload" / name).unlink()
    source.unlink()


run(main)
