"""Binding sockets: what connections, servers and datagram endpoints have in common (bind(2))."""

from __future__ import annotations

import os
import socket
import stat
import sys
from asyncio.log import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def bind_error(address: Any, error: OSError) -> OSError:
    """asyncio's error for a failed bind."""
    reason = str(error) if sys.version_info >= (3, 13) else str(error.strerror)
    return OSError(error.errno, f"error while attempting to bind on address {address!r}: {reason.lower()}")


def set_reuse_port(sock: socket.socket) -> None:
    """Let other sockets bind to the same port. Raises ValueError where the system cannot."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ValueError("reuse_port not supported by socket module")
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        raise ValueError(
            "reuse_port not supported by socket module, SO_REUSEPORT defined but not implemented."
        ) from None


def remove_stale_file(path: str | bytes) -> None:
    """Remove a socket file at `path`, nothing else; what goes wrong is logged and left for bind(2) to judge.

    Raises IndexError for an empty path: to bind that would give the socket an arbitrary abstract name.
    """
    if is_abstract(path):
        return
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        logger.error("Unable to check or remove stale UNIX socket %r: %r", path, exc)


def is_abstract(path: str | bytes) -> bool:
    """Whether `path` is a name in Linux's abstract namespace (unix(7))."""
    return path[0] in (0, "\0")
