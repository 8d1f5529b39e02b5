"""Files to be sent, and what is no file."""

import asyncio
import io
import socket
from typing import Any

from support.net import receive

# More than a socket takes at once, so that sending needs several events.
CONTENT = bytes(range(251)) * 8000


class Plain(io.BytesIO):
    """Bytes that are in no file."""


class Unseekable:
    """A stream that is no file and cannot be positioned."""

    def __init__(self, content: bytes) -> None:
        self.readinto = io.BytesIO(content).readinto


class Closed:
    """A file with a number that is not open."""

    def fileno(self) -> int:
        return -1


class Odd:
    """A file of another mode."""

    mode = "r"


async def gather(sending: Any, peer: socket.socket, size: int) -> tuple[int, bytes]:
    """What sending returned, and what the peer received of it."""
    task = asyncio.ensure_future(sending)
    data = await receive(peer, size)
    return await task, data


# Offsets and counts.
RANGES = [
    (0, None),
    (0, 1),
    (0, len(CONTENT)),
    (0, len(CONTENT) + 1000),
    (1000, 2000),
    (1000, None),
    (len(CONTENT) - 1, None),
    (len(CONTENT), None),
    (len(CONTENT), 5),
    (len(CONTENT) + 1000, None),
    (0, 2**80),
]

# The same, for the fallbacks.
BLOCKS = [(0, None), (0, 1), (1000, 300_000), (1000, None), (len(CONTENT), None)]

# Arguments that are refused, and how.
WRONG: list[tuple[str, Any, type[Exception], str]] = [
    ("count", -1, ValueError, "count must be a positive integer (got -1)"),
    ("count", 0, ValueError, "count must be a positive integer (got 0)"),
    ("count", 1.5, TypeError, "count must be a positive integer (got 1.5)"),
    ("count", "1", TypeError, "count must be a positive integer (got '1')"),
    ("offset", -1, ValueError, "offset must be a non-negative integer (got -1)"),
    ("offset", None, TypeError, "offset must be a non-negative integer (got None)"),
    ("offset", "1", TypeError, "offset must be a non-negative integer (got '1')"),
    ("file", Odd(), ValueError, "file should be opened in binary mode"),
]
