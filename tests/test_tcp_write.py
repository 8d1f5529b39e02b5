"""S16: the write side of the stream transport, and its end."""

import array
import asyncio
import mmap
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import before, ferroloop_only, since
from support.loops import Loop, Run
from support.net import connection, eventually, receive, receive_all

Errors = list[dict[str, Any]]
BIG = bytes(range(256)) * 16384  # 4 MiB: no kernel takes it at once


@pytest.mark.parametrize("data", [b"abc", bytearray(b"abc"), memoryview(b"xabcx")[1:4]])
@pytest.mark.parametrize("method", ["write", "writelines"])
def test_kinds_of_data(loop: Loop, run: Run, method: str, data: Any) -> None:
    """S16.11, S16.14."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            getattr(transport, method)(data if method == "write" else [data, data])
            transport.close()
            assert await receive_all(peer) == (b"abc" if method == "write" else b"abcabc")

    run(main())


@before(3, 14)
@pytest.mark.parametrize("wrong", ["text", 1, None, [b"x"]])
def test_wrong_data_before(loop: Loop, run: Run, wrong: Any) -> None:
    """S16.11."""
    check_wrong_data(run, wrong, "a bytes-like object, not")


@since(3, 14)
@pytest.mark.parametrize("wrong", ["text", 1, None, [b"x"]])
def test_wrong_data(loop: Loop, run: Run, wrong: Any) -> None:
    """S16.11."""
    check_wrong_data(run, wrong, "a bytes, bytearray, or memoryview object, not")


def check_wrong_data(run: Run, wrong: Any, words: str) -> None:
    """write() raises and the transport goes on."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            text = f"data argument must be {words} {type(wrong).__name__!r}"
            with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
                transport.write(wrong)
            with pytest.raises(TypeError):
                transport.writelines([3])
            transport.write(b"fine")
            transport.close()
            assert await receive_all(peer) == b"fine"

    run(main())


def test_order_of_bytes(loop: Loop, run: Run) -> None:
    """S16.14: whatever is sent at once, buffered, gathered."""
    pieces = [bytes([n % 256]) * (n * 997 % 70_000) for n in range(150)]

    async def main() -> None:
        async with connection() as (transport, _, peer):
            for n, piece in enumerate(pieces):
                if n % 3:
                    transport.write(piece)
                else:
                    transport.writelines([piece[:5], b"", bytearray(piece[5:])])
                if n % 10 == 0:
                    await asyncio.sleep(0)
            transport.close()
            assert await receive_all(peer) == b"".join(pieces)

    run(main())


@pytest.mark.parametrize("method", ["write", "writelines"])
def test_empty_data_is_ignored(loop: Loop, run: Run, method: str) -> None:
    """S16.13."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            for empty in (b"", bytearray(), memoryview(b"")):
                getattr(transport, method)(empty if method == "write" else [])
            transport.write(BIG)
            size = transport.get_write_buffer_size()
            transport.write(b"")
            assert transport.get_write_buffer_size() == size
            transport.close()
            assert await receive_all(peer) == BIG
            await eventually(lambda: protocol.lost)

    run(main())


def mapped(data: bytes) -> mmap.mmap:
    """The bytes in anonymous memory."""
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memory


@pytest.mark.parametrize("kind", [lambda data: array.array("B", data), mapped])
def test_writelines_takes_buffers(loop: Loop, run: Run, kind: Callable[[bytes], Any]) -> None:
    """S16.17: whatever has a buffer."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            transport.writelines([kind(b"abc"), b"", kind(b"de")])
            assert await receive(peer, 5) == b"abcde"

    run(main())


@ferroloop_only("an empty chunk was buffered and never drained", "S16.13", sys.version_info < (3, 14))
def test_empty_chunks_of_writelines(loop: Loop, run: Run) -> None:
    """S16.13: only empty ones, or at any place."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.writelines([b"", b""])
            assert transport.get_write_buffer_size() == 0
            transport.writelines([b"", b"a", b"", b"b", b""])
            transport.writelines(iter([b""]))
            transport.close()
            assert await receive_all(peer) == b"ab"
            await eventually(lambda: protocol.lost)

    run(main())


def test_what_is_sent_leaves_the_buffer(loop: Loop, run: Run) -> None:
    """S16.14: a small write never stays behind."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            transport.write(b"small")
            await asyncio.sleep(0)
            assert transport.get_write_buffer_size() == 0
            assert await receive(peer, 5) == b"small"

    run(main())


@pytest.mark.parametrize("size", [3, 30])
def test_many_small_writes(loop: Loop, run: Run, size: int) -> None:
    """S16.14: what there is room for is sent at once, in however many pieces it was written."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            for _ in range(2000):
                transport.write(bytes(size))
            assert transport.get_write_buffer_size() == 0
            assert "pause" not in protocol.names
            assert len(await receive(peer, 2000 * size)) == 2000 * size

    run(main())


@ferroloop_only("asyncio keeps a view of the caller's object", "S16.15", sys.version_info >= (3, 12))
@pytest.mark.parametrize("method", ["write", "writelines"])
def test_buffered_data_is_safe(loop: Loop, run: Run, method: str) -> None:
    """S16.15: later changes of the caller's object change nothing."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            for data in (bytearray(BIG), memoryview(bytearray(BIG))):
                transport.write(data) if method == "write" else transport.writelines([data])
                data[:] = bytes(len(data))
                assert await receive(peer, len(BIG)) == BIG

    run(main())


def test_callers_buffer_is_free_again(loop: Loop, run: Run) -> None:
    """S16.15: a bytearray whose bytes are sent may be resized."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            data = bytearray(b"abc")
            transport.write(data)
            await receive(peer, 3)
            data.clear()

    run(main())


def test_wide_memoryviews(loop: Loop, run: Run) -> None:
    """S16.16: sizes are bytes, not items."""
    numbers = array.array("Q", range(500_000))

    async def main() -> None:
        async with connection() as (transport, _, peer):
            transport.write(memoryview(numbers).cast("B"))
            transport.close()
            assert await receive_all(peer) == numbers.tobytes()

    run(main())


@ferroloop_only("asyncio counts items", "S16.16")
@pytest.mark.parametrize("method", ["write", "writelines"])
def test_wide_memoryviews_uncast(loop: Loop, run: Run, method: str) -> None:
    """S16.16: also when buffered."""
    numbers = array.array("Q", range(500_000))

    async def main() -> None:
        async with connection() as (transport, _, peer):
            view = memoryview(numbers)
            transport.write(view) if method == "write" else transport.writelines([view])
            assert transport.get_write_buffer_size() > len(numbers)
            transport.close()
            assert await receive_all(peer) == numbers.tobytes()

    run(main())


def test_writelines_takes_any_iterable(loop: Loop, run: Run) -> None:
    """S16.17: and more pieces than one system call takes."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            transport.writelines(bytes([n % 256]) for n in range(3000))
            transport.writelines((b"tuple", b"tuple"))
            transport.close()
            expected = bytes(n % 256 for n in range(3000)) + b"tupletuple"
            assert await receive_all(peer) == expected

    run(main())


@ferroloop_only("pausing was forgotten", "S16.17", (3, 12) <= sys.version_info < (3, 14))
def test_writelines_pauses(loop: Loop, run: Run) -> None:
    """S16.17: flow control is applied after it."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.writelines([BIG])
            assert ("pause",) in protocol.events
            assert await receive(peer, len(BIG)) == BIG
            await eventually(lambda: ("resume",) in protocol.events)

    run(main())


def test_write_eof(loop: Loop, run: Run) -> None:
    """S16.23: after the buffer is flushed; the read side stays."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            assert transport.can_write_eof() is True
            transport.write(BIG)
            transport.write_eof()
            transport.write_eof()
            assert await receive_all(peer) == BIG
            peer.send(b"answer")
            await eventually(lambda: protocol.data == b"answer")
            peer.close()
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [None]

    run(main())


def test_write_eof_without_data(loop: Loop, run: Run) -> None:
    """S16.23: at once; ignored when closing."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            transport.write_eof()
            assert await receive_all(peer) == b""
            assert not transport.is_closing()
            transport.close()
            transport.write_eof()

    run(main())


def test_write_after_eof(loop: Loop, run: Run) -> None:
    """S16.12."""

    async def main() -> None:
        async with connection() as (transport, _, _):
            transport.write_eof()
            with pytest.raises(RuntimeError, match=r"^Cannot call write\(\) after write_eof\(\)$"):
                transport.write(b"x")
            name = "writelines" if sys.version_info >= (3, 12) else "write"
            text = rf"^Cannot call {name}\(\) after write_eof\(\)$"
            with pytest.raises(RuntimeError, match=text):
                transport.writelines([b"x"])

    run(main())


def test_writes_while_closing(loop: Loop, run: Run) -> None:
    """S16.19: as long as the buffer is not flushed they are accepted."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            transport.write(BIG)
            transport.close()
            transport.write(b"more")
            assert await receive_all(peer) == BIG + b"more"

    run(main())
