"""S7: add_reader and add_writer."""

import asyncio
import contextlib
import contextvars
import errno
import os
import re
import socket
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from support.fds import is_open
from support.gates import ferroloop_only
from support.loops import Loop
from support.turns import turn, until

Pair = tuple[socket.socket, socket.socket]
METHODS = ["add_reader", "add_writer", "remove_reader", "remove_writer"]


def ignore(*args: object) -> None:
    """A callback."""


def call(loop: Loop, name: str, fd: Any) -> object:
    """Call one of the four methods."""
    return getattr(loop, name)(fd, *([ignore] if name.startswith("add") else []))


class Fileno:
    """An object with a fileno()."""

    def __init__(self, fd: object) -> None:
        self.fd = fd

    def fileno(self) -> object:
        """The descriptor, or what claims to be one."""
        return self.fd


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("wrong", ["text", None, 1.5, object(), Fileno("x"), Fileno(None)])
def test_invalid_file_object(loop: Loop, name: str, wrong: object) -> None:
    """S7.1."""
    with pytest.raises(ValueError, match=re.escape(f"Invalid file object: {wrong!r}")):
        call(loop, name, wrong)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", [RuntimeError, OSError, KeyboardInterrupt])
def test_failing_fileno(loop: Loop, name: str, kind: type[BaseException]) -> None:
    """S7.1: what fileno() raises of its own is its own, above all an exit request."""

    class Failing:
        def fileno(self) -> int:
            raise kind

    with pytest.raises(kind):
        call(loop, name, Failing())


@pytest.mark.parametrize("fd", [2**31, 2**63, 2**100])
def test_numbers_beyond_descriptors(loop: Loop, fd: int) -> None:
    """S7.1, S7.2: what no descriptor can be cannot be watched, and is not."""
    for add in (loop.add_reader, loop.add_writer):
        with pytest.raises(OverflowError, match=r"^Python int too large to convert to C int$"):
            add(fd, print)
    assert not loop.remove_reader(fd)
    assert not loop.remove_writer(fd)
    for name in METHODS:
        with pytest.raises(ValueError, match=f"^Invalid file descriptor: -{fd}0$"):
            call(loop, name, -10 * fd)


def test_largest_number(loop: Loop) -> None:
    """S7.1, S7.2: it may be a descriptor, and is not open."""
    for add in (loop.add_reader, loop.add_writer):
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            add(2**31 - 1, print)
        assert caught.value.errno == errno.EBADF
    assert not loop.remove_reader(2**31 - 1)
    assert not loop.remove_writer(2**31 - 1)


@pytest.mark.parametrize("name", METHODS)
def test_negative_descriptor(loop: Loop, name: str) -> None:
    """S7.1."""
    with pytest.raises(ValueError, match=r"^Invalid file descriptor: -1$"):
        call(loop, name, -1)
    closed = socket.socket()
    closed.close()
    with pytest.raises(ValueError, match=r"^Invalid file descriptor: -1$"):
        call(loop, name, closed)


def test_numbers_and_objects_name_the_same(loop: Loop, pair: Pair) -> None:
    """S7.1, S7.2."""
    left = pair[0]
    assert loop.add_reader(left.fileno(), ignore) is None
    assert loop.add_writer(Fileno(left.fileno()), ignore) is None
    assert loop.remove_reader(left) is True
    assert loop.remove_writer(left.fileno()) is True


def test_remove_tells_whether_there_was_one(loop: Loop, pair: Pair) -> None:
    """S7.2, S7.4."""
    left = pair[0]
    assert loop.remove_reader(left) is False
    assert loop.remove_writer(left) is False
    loop.add_reader(left, ignore)
    assert loop.remove_writer(left) is False
    assert loop.remove_reader(left) is True
    assert loop.remove_reader(left) is False
    assert loop.remove_reader(987654) is False


def test_reading_with_arguments(loop: Loop, pair: Pair) -> None:
    """S7: the callback gets its arguments, again and again."""
    left, right = pair
    seen: list[tuple[str, bytes]] = []
    loop.add_reader(left, lambda tag, sock: seen.append((tag, sock.recv(10))), "tag", left)
    for data in (b"1", b"2"):
        right.send(data)
        until(loop, lambda data=data: ("tag", data) in seen)
    loop.remove_reader(left)
    right.send(b"3")
    turn(loop, 2)
    assert seen == [("tag", b"1"), ("tag", b"2")]


def test_adding_again_replaces(loop: Loop, pair: Pair) -> None:
    """S7.3."""
    left, right = pair
    seen: list[str] = []
    right.send(b"x")
    for name in ("old", "new"):
        loop.add_reader(left, seen.append, name)
        loop.add_writer(left, seen.append, name + " writer")
    turn(loop, 2)
    loop.remove_reader(left)
    loop.remove_writer(left)
    assert set(seen) == {"new", "new writer"}


def test_reader_and_writer_are_independent(loop: Loop, pair: Pair) -> None:
    """S7.4."""
    left, right = pair
    seen: list[str] = []
    right.send(b"x")
    loop.add_reader(left, seen.append, "reader")
    loop.add_writer(left, seen.append, "writer")
    loop.remove_reader(left)
    turn(loop)
    assert seen == ["writer"]
    loop.add_reader(left, seen.append, "reader")
    loop.remove_writer(left)
    turn(loop)
    loop.remove_reader(left)
    assert seen == ["writer", "reader"]


@pytest.mark.parametrize("name", METHODS)
def test_fd_of_a_transport_is_taken(loop: Loop, pair: Pair, name: str) -> None:
    """S7.5, S7.12: while it is open."""

    async def main() -> None:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=pair[0])
        fd = pair[0].fileno()
        text = f"File descriptor {fd!r} is used by transport {transport!r}"
        with pytest.raises(RuntimeError, match=re.escape(text)):
            call(loop, name, fd)
        with pytest.raises(RuntimeError, match="is used by transport"):
            call(loop, name, pair[0])
        transport.close()
        call(loop, name, fd)
        loop.remove_reader(fd)
        loop.remove_writer(fd)
        await asyncio.sleep(0.001)

    loop.run_until_complete(main())


def test_regular_files_cannot_be_watched(loop: Loop) -> None:
    """S7.6."""
    with tempfile.TemporaryFile() as file:
        with pytest.raises(PermissionError):
            loop.add_reader(file, ignore)
        with pytest.raises(PermissionError):
            loop.add_writer(file, ignore)
        assert loop.remove_reader(file) is False
    turn(loop, 2)


def test_numbers_that_are_not_open(loop: Loop) -> None:
    """S7.6."""
    fd = os.dup(0)
    os.close(fd)
    assert not is_open(fd)
    for add in (loop.add_reader, loop.add_writer):
        with pytest.raises(OSError, match="Bad file descriptor"):
            add(fd, ignore)
    assert loop.remove_reader(fd) is False
    turn(loop, 2)


def test_hangup_wakes_both_sides(loop: Loop, pair: Pair) -> None:
    """S7.7."""
    left, right = pair
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with contextlib.suppress(BlockingIOError):
        while True:
            left.send(b"x" * 4096)
    seen: set[str] = set()
    loop.add_reader(left, seen.add, "reader")
    loop.add_writer(left, seen.add, "writer")
    turn(loop, 2)
    assert seen == set()
    right.close()
    until(loop, lambda: seen == {"reader", "writer"})
    loop.remove_reader(left)
    loop.remove_writer(left)


def test_hangup_wakes_only_who_is_registered(loop: Loop) -> None:
    """S7.7: here the writer of a pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    seen: set[str] = set()
    loop.add_writer(writer, seen.add, "writer")
    turn(loop, 2)
    assert seen == set()
    os.close(reader)
    until(loop, lambda: seen == {"writer"})
    loop.remove_writer(writer)
    os.close(writer)


def watched_or_refused(loop: Loop, fd: int, feed: Callable[[], object]) -> None:
    """After add_reader: either an OSError at once, or the callback runs."""
    seen: list[str] = []
    try:
        loop.add_reader(fd, seen.append, "ready")
    except OSError:
        return
    feed()
    until(loop, lambda: bool(seen))
    assert loop.remove_reader(fd) is True


@ferroloop_only("asyncio takes the new fd for the old one and never watches it", "S7.8")
def test_closed_behind_the_back_and_reused(loop: Loop) -> None:
    """S7.8: the kernel forgot the registration with the old file."""
    old, new = socket.socketpair(), socket.socketpair()
    fd = old[0].fileno()
    loop.add_reader(fd, ignore)
    turn(loop)
    old[0].close()
    os.dup2(new[0].fileno(), fd)
    watched_or_refused(loop, fd, lambda: new[1].send(b"x"))
    os.close(fd)
    for sock in (*old, *new):
        sock.close()


@ferroloop_only("asyncio takes the new fd for the old one and never watches it", "S7.8")
def test_closed_behind_the_back_before_the_first_poll(loop: Loop) -> None:
    """S7.8: the registration was never seen by the kernel, or died with the fd."""
    turn(loop)  # opens what the loop has for itself, which is not to get the number below
    old, new = socket.socketpair(), socket.socketpair()
    fd = old[0].fileno()
    loop.add_reader(fd, ignore)
    old[0].close()
    turn(loop, 2)
    os.dup2(new[0].fileno(), fd)
    watched_or_refused(loop, fd, lambda: new[1].send(b"x"))
    os.close(fd)
    for sock in (*old, *new):
        sock.close()


def test_closed_behind_the_back_but_alive_elsewhere(loop: Loop, pair: Pair) -> None:
    """S7.8: a dup keeps the kernel's registration; the loop neither spins nor dies."""
    left, right = pair
    copy = os.dup(left.fileno())
    seen: list[str] = []
    loop.add_reader(copy, seen.append, "ready")
    turn(loop)
    os.close(copy)
    loop.remove_reader(copy)
    right.send(b"x")
    turn(loop, 5)
    assert seen == []
    loop.run_until_complete(asyncio.sleep(0.001))


@pytest.mark.parametrize("side", ["reader", "writer"])
def test_removing_after_the_fd_was_closed(loop: Loop, side: str) -> None:
    """S7.2, S7.8."""
    left, right = socket.socketpair()
    fd = left.fileno()
    call(loop, f"add_{side}", fd)
    turn(loop)
    left.close()
    right.close()
    assert call(loop, f"remove_{side}", fd) is True
    assert call(loop, f"remove_{side}", fd) is False
    turn(loop, 2)


@pytest.mark.parametrize(("side", "other"), [("reader", "writer"), ("writer", "reader")])
def test_removing_a_closed_file(loop: Loop, side: str, other: str) -> None:
    """S7.1, S7.2: a closed socket has no number any more; the loop knows by which object it was asked."""
    left, right = socket.socketpair()
    call(loop, f"add_{side}", left)
    turn(loop)
    left.close()
    right.close()
    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        call(loop, f"remove_{side}", right)
    assert call(loop, f"remove_{other}", left) is False
    assert call(loop, f"remove_{side}", left) is True
    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        call(loop, f"remove_{side}", left)
    loop.close()
    assert call(loop, f"remove_{side}", left) is False


def test_removing_inside_the_callback(loop: Loop, pair: Pair) -> None:
    """S7.10: and closing the fd there."""
    left, right = pair
    seen: list[bool] = []

    def ready() -> None:
        seen.append(loop.remove_reader(left))
        left.close()

    loop.add_reader(left, ready)
    right.send(b"x")
    turn(loop, 3)
    assert seen == [True]


def test_adding_inside_the_callback(loop: Loop, pair: Pair) -> None:
    """S7.3, S7.10: a reader that replaces itself."""
    left, right = pair
    seen: list[str] = []

    def first() -> None:
        loop.add_reader(left, seen.append, "second")
        seen.append("first")

    loop.add_reader(left, first)
    right.send(b"x")
    turn(loop, 3)
    loop.remove_reader(left)
    assert seen == ["first", "second", "second"]


def test_context_of_add_time(loop: Loop, pair: Pair) -> None:
    """S7.11."""
    number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)
    seen: list[int] = []

    def add() -> None:
        number.set(1)
        loop.add_reader(pair[0], lambda: seen.append(number.get()))
        loop.add_writer(pair[0], lambda: seen.append(number.get() + 10))
        number.set(2)

    contextvars.copy_context().run(add)
    pair[1].send(b"x")
    turn(loop)
    loop.remove_reader(pair[0])
    loop.remove_writer(pair[0])
    assert seen == [1, 11]


def test_failing_reader_is_reported_and_kept(loop: Loop, pair: Pair, errors: list[dict[str, Any]]) -> None:
    """S3.10, S9.14: it fails once per iteration until removed."""
    loop.add_reader(pair[0], lambda: 1 // 0)
    pair[1].send(b"x")
    turn(loop, 2)
    loop.remove_reader(pair[0])
    assert [type(context["exception"]) for context in errors] == [ZeroDivisionError] * 2
    assert all("handle" in context for context in errors)


def test_closing_the_loop_leaves_the_fds_alone(loop: Loop, pair: Pair) -> None:
    """S2.22: the user's descriptors are the user's."""
    loop.add_reader(pair[0], ignore)
    loop.add_writer(pair[1], ignore)
    turn(loop)
    loop.close()
    assert pair[0].send(b"x") == 1
    assert pair[1].recv(1) == b"x"


def test_many_descriptors(loop: Loop) -> None:
    """S4.12: each of them once."""
    pairs = [socket.socketpair() for _ in range(200)]
    seen: list[int] = []

    def ready(n: int) -> None:
        seen.append(n)
        loop.remove_reader(pairs[n][0])

    for n, (left, _) in enumerate(pairs):
        loop.add_reader(left, ready, n)
    for _, right in pairs:
        right.send(b"x")
    until(loop, lambda: len(seen) >= len(pairs))
    turn(loop, 2)
    for left, right in pairs:
        left.close()
        right.close()
    assert sorted(seen) == list(range(200))
