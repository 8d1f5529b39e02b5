"""The fresh process of a server: LOOP KIND; prints its port, and serves until its stdin ends."""

import os
import socket
import sys

from peers import new_event_loop
from servers import KINDS

_BACKLOG = 1024


def main(peer: str, kind: str) -> None:
    """Serve forever."""
    loop = new_event_loop(peer)
    sock = _listening_socket()
    # Some peers take the socket over and close the object.
    port = sock.getsockname()[1]
    # There is nothing to save or to say goodbye to, and no server of any kind can be asked to end in the same way.
    loop.add_reader(sys.stdin.fileno(), os._exit, 0)
    loop.run_until_complete(KINDS[kind](sock))
    print(port, flush=True)
    loop.run_forever()


def _listening_socket() -> socket.socket:
    # With the protocol given, as loops make it themselves: asyncio sets TCP_NODELAY on no other.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    sock.listen(_BACKLOG)
    sock.setblocking(False)
    return sock


main(*sys.argv[1:])
