"""Descriptors as ancillary data of messages (unix(7), SCM_RIGHTS)."""

import array
import os
import socket
from typing import Any

INT = array.array("i").itemsize
# For one descriptor.
ROOM = socket.CMSG_SPACE(INT)


def rights(*files: Any) -> tuple[int, int, bytes]:
    """Ancillary data that hands these over."""
    return socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno() for file in files]).tobytes()


def descriptors(ancdata: list[tuple[int, int, bytes]]) -> list[int]:
    """What has been handed over; the caller closes it."""
    fds = array.array("i")
    for level, kind, data in ancdata:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        fds.frombytes(data)
    return fds.tolist()


def is_same(fd: int, file: Any) -> bool:
    """Whether the descriptor is one of the file; it is closed."""
    try:
        return os.path.samestat(os.fstat(fd), os.fstat(file.fileno()))
    finally:
        os.close(fd)
