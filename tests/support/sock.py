"""The sock_* calls by name, and sockets to call them on."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest

from support.gates import ferroloop_only
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


def refusal(method: Callable[..., Any], *args: Any) -> tuple[type[Exception], str]:
    """What a socket says of its arguments."""
    try:
        method(*args)
    except Exception as exc:
        return type(exc), str(exc)
    raise AssertionError("it was not refused")


def each(names: Iterable[str]) -> list[Any]:
    """Parameters for a test that runs on both loops, as far as asyncio has the calls."""
    added = ferroloop_only("asyncio has no such call", "S25.1")
    return [pytest.param(name, marks=() if hasattr(asyncio.AbstractEventLoop, name) else added) for name in names]


RECEIVING: dict[str, Call] = {
    "sock_recv": lambda loop, sock: loop.sock_recv(sock, 100),
    "sock_recv_into": lambda loop, sock: loop.sock_recv_into(sock, bytearray(100)),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 100),
    "sock_recvfrom_into": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(100)),
    "sock_recvmsg": lambda loop, sock: loop.sock_recvmsg(sock, 100),
    "sock_recvmsg_into": lambda loop, sock: loop.sock_recvmsg_into(sock, [bytearray(100)]),
}
SENDING: dict[str, Call] = {
    "sock_sendall": lambda loop, sock: loop.sock_sendall(sock, b"data"),
    "sock_sendto": lambda loop, sock: loop.sock_sendto(sock, b"data", ("127.0.0.1", 1)),
    "sock_sendmsg": lambda loop, sock: loop.sock_sendmsg(sock, [b"data"]),
}
OTHERS: dict[str, Call] = {
    "sock_connect": lambda loop, sock: loop.sock_connect(sock, ("127.0.0.1", 1)),
    "sock_accept": lambda loop, sock: loop.sock_accept(sock),
}
ALL = RECEIVING | SENDING | OTHERS
