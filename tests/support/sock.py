"""The sock_* calls by name, and sockets to call them on."""

import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from support.loops import Loop

Call = Callable[[Loop, socket.socket], Coroutine[Any, Any, Any]]


def fill(sock: socket.socket) -> int:
    """Send until nothing more fits; how much did."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += sock.send(b"x" * 65536)
    return sent


def at_once(coro: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that must not wait."""
    with pytest.raises(StopIteration) as stopped:
        coro.send(None)
    return stopped.value.value


RECEIVING: dict[str, Call] = {
    "sock_recv": lambda loop, sock: loop.sock_recv(sock, 100),
    "sock_recv_into": lambda loop, sock: loop.sock_recv_into(sock, bytearray(100)),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 100),
    "sock_recvfrom_into": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(100)),
}
SENDING: dict[str, Call] = {
    "sock_sendall": lambda loop, sock: loop.sock_sendall(sock, b"data"),
    "sock_sendto": lambda loop, sock: loop.sock_sendto(sock, b"data", ("127.0.0.1", 1)),
}
OTHERS: dict[str, Call] = {
    "sock_connect": lambda loop, sock: loop.sock_connect(sock, ("127.0.0.1", 1)),
    "sock_accept": lambda loop, sock: loop.sock_accept(sock),
}
ALL = RECEIVING | SENDING | OTHERS
