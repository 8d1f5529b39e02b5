"""Which descriptors this process holds, seen from outside any Python object; and a process that gets no more."""

import contextlib
import os
import resource
import socket
from collections.abc import Iterator


def open_fds() -> dict[int, tuple[int, int]]:
    """Every open descriptor with the identity of what it refers to."""
    found = {}
    for name in os.listdir("/dev/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:
            continue  # the descriptor that listed the directory
        found[int(name)] = (status.st_dev, status.st_ino)
    return found


def is_open(fd: int) -> bool:
    """Whether this number refers to anything now."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Let every further descriptor be refused with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_fds()) + 1, hard))
    # The limit is on numbers: fill the gaps below it.
    fillers = []
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(socket.socket())
        yield
    finally:
        for filler in fillers:
            filler.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
