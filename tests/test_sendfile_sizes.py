"""S24: files over transports, of which more or less is there than was expected, or more than 32 bits can count."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from support.files import CONTENT, gather
from support.loops import Loop, Run
from support.net import connection, receive


def test_growing_file(loop: Loop, run: Run, file_path: Path, file: Any) -> None:
    """S23.5, S24.3: what is added meanwhile is sent too."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            sending = asyncio.ensure_future(loop.sendfile(transport, file, fallback=False))
            await receive(peer, 1)
            with open(file_path, "ab") as more:
                more.write(b"more")
            assert await receive(peer, len(CONTENT) + 3) == CONTENT[1:] + b"more"
            assert await sending == len(CONTENT) + 4
            assert file.tell() == len(CONTENT) + 4

    run(main())


@pytest.mark.parametrize("count", [None, len(CONTENT)])
def test_truncated_file(loop: Loop, run: Run, file_path: Path, file: Any, count: int | None) -> None:
    """S23.5, S24.3: what is left is sent, and the connection goes on behind it."""
    left = len(CONTENT) - 1000

    async def main() -> None:
        async with connection() as (transport, _, peer):
            sending = asyncio.ensure_future(loop.sendfile(transport, file, 0, count, fallback=False))
            await receive(peer, 1)
            os.truncate(file_path, left)
            assert await receive(peer, left - 1) == CONTENT[1:left]
            assert await sending == file.tell() == left
            transport.write(b"behind")
            assert await receive(peer, 6) == b"behind"

    run(main())


def test_beyond_four_gigabytes(loop: Loop, run: Run, tmp_path: Path) -> None:
    """S23.4, S24.3, S24.9: a sparse file, from an offset that no 32 bits hold."""
    offset = 5 * 2**30 + 12345

    async def main() -> None:
        with open(tmp_path / "sparse", "w+b") as file:
            file.seek(offset)
            file.write(CONTENT)
            file.flush()
            async with connection() as (transport, _, peer):
                sending = loop.sendfile(transport, file, offset, fallback=False)
                assert await gather(sending, peer, len(CONTENT)) == (len(CONTENT), CONTENT)
                assert file.tell() == offset + len(CONTENT)

    run(main())
