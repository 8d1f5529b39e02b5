"""Connections that come and go against `churn_server.py`: PORT COUNT SEED.

Exits with an error if a survivor does not get back every byte it sent and then the end.
"""

import random
import selectors
import socket
import struct
import sys
from collections.abc import Iterator

import churn

_OPEN_AT_ONCE = 500
_CHUNK = 65536
_LARGEST = 300_000
_RESET = struct.pack("ii", 1, 0)
_NOISE = random.Random(0).randbytes(2 * _LARGEST)


class Connection:
    """One connection and its script: how much to send and, for a victim, after how many bytes either way to reset."""

    def __init__(self, port: int, kind: bytes, chance: random.Random) -> None:
        """Connect; the first byte tells the server the kind."""
        self.kind = kind
        size = chance.randrange(1, _LARGEST if chance.random() < 0.2 else 2000)
        start = chance.randrange(_LARGEST)
        self.payload = kind + _NOISE[start : start + size]
        self.reset_after = chance.randrange(2 * len(self.payload)) if kind == churn.VICTIM else None
        self.sent = self.received = 0
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)

    def advance(self) -> bool:
        """Go on as far as the socket allows; true once it is over, and closed."""
        try:
            over = self._send() or self._receive()
        except BlockingIOError:
            over = False
        except OSError:
            # The server drops a failing connection with its answers unsent and our bytes unread.
            if self.kind != churn.FAILING:
                raise
            over = True
        if over:
            self.socket.close()
        return over

    def wanted(self) -> int:
        """The readiness this connection waits for."""
        sending = selectors.EVENT_WRITE if self.sent < len(self.payload) else 0
        return selectors.EVENT_READ | sending

    def _send(self) -> bool:
        while self.sent < len(self.payload):
            if self._is_time_to_reset():
                return True
            try:
                self.sent += self.socket.send(self.payload[self.sent : self.sent + _CHUNK])
            except BlockingIOError:
                return False
            if self.sent == len(self.payload):
                self.socket.shutdown(socket.SHUT_WR)
        return False

    def _receive(self) -> bool:
        while not self._is_time_to_reset():
            data = self.socket.recv(_CHUNK)
            assert data == self.payload[self.received : self.received + len(data)]
            self.received += len(data)
            if not data:
                assert self.kind == churn.FAILING or self.received == len(self.payload)
                return True
        return True

    def _is_time_to_reset(self) -> bool:
        if self.reset_after is None or self.sent + self.received < self.reset_after:
            return False
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return True


def kinds(count: int, chance: random.Random) -> Iterator[bytes]:
    """Half of the connections are victims, one in ten fails."""
    for number in range(count):
        yield churn.VICTIM if number % 2 else churn.FAILING if chance.random() < 0.2 else churn.SURVIVOR


def main(port: int, count: int, seed: int) -> None:
    """Keep connections open until all have come and gone."""
    chance = random.Random(seed)
    waiting = kinds(count, chance)
    with selectors.DefaultSelector() as selector:
        for kind in waiting:
            connection = Connection(port, kind, chance)
            selector.register(connection.socket, connection.wanted(), connection)
            while len(selector.get_map()) == _OPEN_AT_ONCE:
                turn(selector)
        while selector.get_map():
            turn(selector)


def turn(selector: selectors.BaseSelector) -> None:
    """Serve who is ready."""
    ready = selector.select(timeout=30)
    assert ready, f"{len(selector.get_map())} connections get no answer"
    for key, _ in ready:
        connection: Connection = key.data
        selector.unregister(connection.socket)
        if not connection.advance():
            selector.register(connection.socket, connection.wanted(), connection)


main(*map(int, sys.argv[1:]))
