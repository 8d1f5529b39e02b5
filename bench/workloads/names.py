"""getaddrinfo: addresses that need no look-up, and a name that does."""

import asyncio
import socket

from in_loop import InLoop


def _resolve(loop: asyncio.AbstractEventLoop, n: int, host: str) -> None:
    async def main() -> None:
        for _ in range(n):
            await loop.getaddrinfo(host, 80, type=socket.SOCK_STREAM)

    loop.run_until_complete(main())


def address(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """The text of an address."""
    _resolve(loop, n, "127.0.0.1")


def name(loop: asyncio.AbstractEventLoop, n: int) -> None:
    """A name from /etc/hosts."""
    _resolve(loop, n, "localhost")


WORKLOADS = (
    InLoop("getaddrinfo/address", address),
    InLoop("getaddrinfo/name", name),
)
