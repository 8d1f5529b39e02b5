"""The load of the demo: PORT SECONDS; prints how many answers came back per second, all of them checked.

Plain sockets and as little Python per request as can be, so that the server is what is measured.
"""

import socket
import sys
import time

from demo_app import PLAINTEXT

_CONNECTIONS = 32
_REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def main(port: int, seconds: float) -> None:
    """Ask on all connections, collect all answers, and again until the time is over."""
    connections = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(_CONNECTIONS)]
    rounds, start = 0, time.monotonic()
    while time.monotonic() - start < seconds:
        for connection in connections:
            connection.sendall(_REQUEST)
        for connection in connections:
            _check(connection)
        rounds += 1
    print(rounds * _CONNECTIONS / (time.monotonic() - start))
    for connection in connections:
        connection.close()


def _check(connection: socket.socket) -> None:
    answer = connection.recv(65536)
    while not answer.endswith(b"\r\n\r\n" + PLAINTEXT):
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError(f"incomplete answer: {answer!r}")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise ValueError(f"unexpected answer: {answer!r}")


main(int(sys.argv[1]), float(sys.argv[2]))
