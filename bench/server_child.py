"""The fresh process of a server: LOOP KIND TRANSPORT [CERTIFICATE]; prints its port, serves until its stdin ends."""

import os
import socket
import ssl
import sys

from peers import new_event_loop
from servers import KINDS

_BACKLOG = 1024


def main(peer: str, kind: str, transport: str, *certificate: str) -> None:
    """Serve forever."""
    loop = new_event_loop(peer)
    # Some peers take the socket over and close the object, so the port is read before.
    sock, port = _SOCKETS[transport]()
    # There is nothing to save or to say goodbye to, and no server of any kind can be asked to end in the same way.
    loop.add_reader(sys.stdin.fileno(), os._exit, 0)
    loop.run_until_complete(KINDS[kind](sock, *map(_context, certificate)))
    print(port, flush=True)
    loop.run_forever()


def _context(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def _tcp() -> tuple[socket.socket, int]:
    # With the protocol given, as loops make it themselves: asyncio sets TCP_NODELAY on no other.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    return _bound(sock, ("127.0.0.1", 0)), sock.getsockname()[1]


def _unix() -> tuple[socket.socket, int]:
    """An abstract name leaves no file behind; the process id in it stands for the port."""
    port = os.getpid() % 2**16
    return _bound(socket.socket(socket.AF_UNIX), f"\0ferroloop-bench-{port}"), port


def _udp() -> tuple[socket.socket, int]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return _bound(sock, ("127.0.0.1", 0)), sock.getsockname()[1]


def _bound(sock: socket.socket, address: tuple[str, int] | str) -> socket.socket:
    sock.bind(address)
    if sock.type == socket.SOCK_STREAM:
        sock.listen(_BACKLOG)
    sock.setblocking(False)
    return sock


_SOCKETS = {"tcp": _tcp, "tls": _tcp, "unix": _unix, "udp": _udp}

main(*sys.argv[1:])
