"""S23, S24: files over plain sockets."""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.files import BLOCKS, CONTENT, RANGES, WRONG, Closed, Odd, Plain, Unseekable, gather
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import connection, eventually, readable, receive, receive_all, tcp_pair, unix_pair
from support.turns import turn

Pair = tuple[socket.socket, socket.socket]


CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.check_hostname = False


@pytest.mark.parametrize(("offset", "count"), RANGES)
@pytest.mark.parametrize("make", [tcp_pair, unix_pair])
def test_sock_sendfile(loop: Loop, run: Run, file: Any, make: Callable[[], Pair], offset: int, count: Any) -> None:
    """S23.4, S23.5, S23.6, S23.9: what is sent, what is returned, where the file is afterwards."""
    if count == 2**80 and sys.version_info < (3, 13) and isinstance(loop, asyncio.SelectorEventLoop):
        pytest.skip("asyncio counts no further than one call before 3.13")
    expected = CONTENT[offset:] if count is None else CONTENT[offset : offset + count]
    left, right = make()
    with left, right:
        sending = loop.sock_sendfile(left, file, offset, count, fallback=False)
        sent, data = run(gather(sending, right, len(expected)))
    assert sent == len(expected)
    assert data == expected
    if sent:
        assert file.tell() == offset + sent


@ferroloop_only("moves the file only if something was sent, in some versions", "S23.9")
def test_position_if_nothing_was_sent(loop: Loop, run: Run, file: Any, pair: Pair) -> None:
    """S23.9: always offset + sent."""
    assert run(loop.sock_sendfile(pair[0], file, len(CONTENT) + 5, fallback=False)) == 0
    assert file.tell() == len(CONTENT) + 5


def test_empty_file(loop: Loop, pair: Pair, tmp_path: Path) -> None:
    """S23.4: at once."""
    (tmp_path / "empty").touch()
    with open(tmp_path / "empty", "rb") as file, pytest.raises(StopIteration) as stopped:
        loop.sock_sendfile(pair[0], file, fallback=False).send(None)
    assert stopped.value.value == 0


@ferroloop_only("waits for the socket once more after the last byte", "S23.5")
def test_small_file_at_once(loop: Loop, pair: Pair, file: Any) -> None:
    """S23.5: what fits goes without the loop having to run."""
    with pytest.raises(StopIteration) as stopped:
        loop.sock_sendfile(pair[0], file, 0, 100, fallback=False).send(None)
    assert stopped.value.value == 100
    assert pair[1].recv(1000) == CONTENT[:100]


@pytest.mark.parametrize(("name", "value", "kind", "text"), WRONG)
def test_wrong_arguments(
    loop: Loop, run: Run, pair: Pair, file: Any, name: str, value: Any, kind: type[Exception], text: str
) -> None:
    """S23.1."""
    kwargs = {"sock": pair[0], "file": file, name: value}
    with pytest.raises(kind) as caught:
        run(loop.sock_sendfile(**kwargs))
    assert str(caught.value) == text
    assert file.tell() == 123


def test_order_of_checks(loop: Loop, run: Run, file: Any) -> None:
    """S23.1."""
    text = "only SOCK_STREAM type sockets are supported"
    with socket.socket(type=socket.SOCK_DGRAM) as datagram:
        datagram.setblocking(False)
        with pytest.raises(ValueError, match=text):
            run(loop.sock_sendfile(datagram, file, -1, -1))
        with pytest.raises(ValueError, match="binary mode"):
            run(loop.sock_sendfile(datagram, Odd(), -1, -1))
    with socket.socket() as blocking:
        loop.set_debug(True)
        with pytest.raises(ValueError, match="the socket must be non-blocking"):
            run(loop.sock_sendfile(blocking, Odd()))
    with CLIENT.wrap_socket(socket.socket()) as tls:
        tls.setblocking(False)
        with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
            run(loop.sock_sendfile(tls, Odd()))


def test_count_before_offset(loop: Loop, run: Run, pair: Pair, file: Any) -> None:
    """S23.1."""
    with pytest.raises(ValueError, match="count must be"):
        run(loop.sock_sendfile(pair[0], file, -1, -1))


@pytest.mark.parametrize("over", ["socket", "transport"])
@pytest.mark.parametrize("kind", ["bytes", "number", "unavailable"])
def test_not_available(loop: Loop, run: Run, file: Any, monkeypatch: pytest.MonkeyPatch, over: str, kind: str) -> None:
    """S23.2, S23.3, S23.11: a RuntimeError, with its reason; the transport is as before."""
    source: Any = {"bytes": Plain(CONTENT), "number": Closed(), "unavailable": file}[kind]
    text = "^not a regular file$"
    if kind == "unavailable":
        monkeypatch.delattr(os, "sendfile")
        text = r"^os.sendfile\(\) is not available$"

    async def main() -> None:
        async with connection() as (transport, _, peer):
            sock = socket.socket(fileno=transport.get_extra_info("socket").fileno())
            try:
                if over == "socket":
                    sending = loop.sock_sendfile(sock, source, 0, 10, fallback=False)
                else:
                    sending = loop.sendfile(transport, source, 0, 10, fallback=False)
                with pytest.raises(asyncio.SendfileNotAvailableError, match=text) as caught:
                    await sending
            finally:
                sock.detach()
            assert isinstance(caught.value, RuntimeError)
            assert transport.is_reading()
            transport.write(b"data")
            assert await receive(peer, 4) == b"data"

    run(main())


@ferroloop_only("fails in positioning it", "S23.7")
def test_pipes_are_no_files(loop: Loop, run: Run, pair: Pair) -> None:
    """S23.7, S24.8: what the kernel refuses is read instead."""
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe")
    os.close(writer)
    with open(reader, "rb") as file:
        seekless: Any = Unseekable(b"")
        seekless.fileno = file.fileno
        seekless.readinto = file.readinto
        with pytest.raises(asyncio.SendfileNotAvailableError, match=r"^os.sendfile call failed$"):
            run(loop.sock_sendfile(pair[0], seekless, 0, 100, fallback=False))
        assert run(loop.sock_sendfile(pair[0], seekless, 0, 100)) == 11
    assert pair[1].recv(100) == b"from a pipe"


def test_growing_file(loop: Loop, run: Run, file_path: Path, file: Any, pair: Pair) -> None:
    """S23.5: what is added meanwhile is sent too."""
    left, right = pair

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendfile(left, file, fallback=False))
        await eventually(lambda: readable(right))
        with open(file_path, "ab") as more:
            more.write(b"more")
        assert await receive(right, len(CONTENT) + 4) == CONTENT + b"more"
        assert await sending == len(CONTENT) + 4
        assert file.tell() == len(CONTENT) + 4

    run(main())


@pytest.mark.parametrize("count", [None, len(CONTENT)])
def test_truncated_file(loop: Loop, run: Run, file_path: Path, file: Any, pair: Pair, count: int | None) -> None:
    """S23.5: less than was asked for, at the end of the file."""
    left, right = pair

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendfile(left, file, 0, count, fallback=False))
        await eventually(lambda: readable(right))
        os.truncate(file_path, 1_000_000)
        data = await receive(right, 1_000_000)
        sent = await sending
        assert sent == 1_000_000
        assert data == CONTENT[:sent]
        assert file.tell() == sent

    run(main())


def test_beyond_four_gigabytes(loop: Loop, run: Run, tmp_path: Path, pair: Pair) -> None:
    """S23.4, S23.9: offsets and sizes of a sparse file that no 32 bits hold."""
    offset = 5 * 2**30 + 12345
    with open(tmp_path / "sparse", "w+b") as file:
        file.seek(offset)
        file.write(CONTENT)
        file.flush()
        sent, data = run(gather(loop.sock_sendfile(pair[0], file, offset, fallback=False), pair[1], len(CONTENT)))
        assert sent == len(CONTENT)
        assert data == CONTENT
        assert file.tell() == offset + sent

        async def main() -> None:
            sending = asyncio.ensure_future(loop.sock_sendfile(pair[0], file, 0, 2**33, fallback=False))
            assert await receive(pair[1], 1_000_000) == bytes(1_000_000)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

        run(main())
        assert file.tell() >= 1_000_000


@pytest.mark.parametrize("closed", [False, True])
def test_cancelled(loop: Loop, run: Run, file: Any, closed: bool) -> None:
    """S23.10: no writer is left, and what was sent is the beginning."""
    left, right = unix_pair()

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendfile(left, file, 100, fallback=False))
        await eventually(lambda: readable(right))
        fd = left.fileno()
        if closed:
            left.close()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.sleep(0)
        if not closed:
            assert not loop.remove_writer(fd)
            left.close()
        data = await receive_all(right)
        assert data == CONTENT[100 : 100 + len(data)]
        assert 0 < len(data) < len(CONTENT)

    run(main())
    right.close()


@ferroloop_only("forgets how far it came", "S23.9")
@pytest.mark.parametrize("native", [True, False])
def test_position_after_cancellation(loop: Loop, run: Run, file: Any, pair: Pair, native: bool) -> None:
    """S23.9, S23.10."""
    left, right = pair
    if not native:
        file = Plain(CONTENT)

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendfile(left, file, 100, fallback=not native))
        await eventually(lambda: readable(right))
        if not native:
            await asyncio.sleep(0.05)  # until it waits for the socket and not for the file
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        left.close()
        assert file.tell() == 100 + len(await receive_all(right))

    run(main())


def test_transport_owns_the_socket(loop: Loop, run: Run, file: Any) -> None:
    """S23.5, S25.4: nothing waits beside a transport."""

    async def main() -> None:
        async with connection() as (transport, _, _peer):
            own = socket.socket(fileno=transport.get_extra_info("socket").fileno())
            try:
                with pytest.raises(RuntimeError, match="is used by transport"):
                    await loop.sock_sendfile(own, file, fallback=False)
            finally:
                own.detach()

    run(main())


def test_error_after_some_bytes(loop: Loop, run: Run, file: Any, pair: Pair) -> None:
    """S23.7, S23.9: the error itself."""
    left, right = pair

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendfile(left, file, fallback=True))
        await eventually(lambda: readable(right))
        right.close()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await sending
        assert 0 < file.tell() < len(CONTENT)
        assert not loop.remove_writer(left)

    run(main())


def test_error_before_the_first_byte(loop: Loop, run: Run, file: Any) -> None:
    """S23.7, S23.3: sendfile is not available, and the fallback meets the error."""
    with socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(asyncio.SendfileNotAvailableError, match=r"^os.sendfile call failed$"):
            run(loop.sock_sendfile(sock, file, fallback=False))
        with pytest.raises(OSError, match=r"Broken pipe|not connected"):
            run(loop.sock_sendfile(sock, file))


@ferroloop_only("is tested on its private parts alone", "S23.8")
def test_not_connected_any_more(loop: Loop, run: Run, file: Any, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """S23.8: of systems that say so."""
    from ferroloop import _sendfile

    steps = iter([10, OSError(errno.ENOTCONN, "text")])

    def step(*args: Any) -> int:
        result = next(steps)
        if isinstance(result, OSError):
            raise result
        return result

    monkeypatch.setattr(_sendfile, "try_sendfile", step)
    with pytest.raises(ConnectionError) as caught:
        run(loop.sock_sendfile(pair[0], file))
    assert type(caught.value) is ConnectionError
    assert caught.value.args == ("socket is not connected", errno.ENOTCONN)
    assert isinstance(caught.value.__cause__, OSError)
    assert file.tell() == 10


@pytest.mark.parametrize(("offset", "count"), BLOCKS)
def test_fallback(loop: Loop, run: Run, pair: Pair, offset: int, count: int | None) -> None:
    """S24.8, S24.9: read and sent."""
    expected = CONTENT[offset:] if count is None else CONTENT[offset : offset + count]
    file = Plain(CONTENT)
    if offset:
        file.seek(77)
    result = run(gather(loop.sock_sendfile(pair[0], file, offset, count), pair[1], len(expected)))
    assert result == (len(expected), expected)
    if expected:
        assert file.tell() == offset + len(expected)


def test_fallback_without_position(loop: Loop, run: Run, pair: Pair) -> None:
    """S24.9: what cannot seek is read from where it is."""
    file: Any = Unseekable(CONTENT)
    result = run(gather(loop.sock_sendfile(pair[0], file), pair[1], len(CONTENT)))
    assert result == (len(CONTENT), CONTENT)


@ferroloop_only("seeks only for other offsets than 0, in some versions", "S24.9")
def test_fallback_from_the_beginning(loop: Loop, run: Run, pair: Pair) -> None:
    """S24.9: offset 0 is an offset."""
    file = Plain(CONTENT)
    file.seek(77)
    result = run(gather(loop.sock_sendfile(pair[0], file), pair[1], len(CONTENT)))
    assert result == (len(CONTENT), CONTENT)


def test_turns(loop: Loop, file: Any, pair: Pair) -> None:
    """S23.5: one chunk for each event, so that others get their turn."""
    left, right = pair
    task = loop.create_task(loop.sock_sendfile(left, file, fallback=False))
    received = 0
    turns = 0
    while not task.done():
        turn(loop)
        turns += 1
        with contextlib.suppress(BlockingIOError):
            received += len(right.recv(1 << 20))
    assert received + len(right.recv(1 << 20) if received < len(CONTENT) else b"") == len(CONTENT)
    assert turns > 2
