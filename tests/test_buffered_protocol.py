"""S16.6, S16.7: BufferedProtocol."""

import array
import asyncio
import ctypes
from typing import Any

import pytest
from support.loops import Loop, Run
from support.net import connection, eventually, reset, send
from support.protocols import BufferedRecorder, Recorder

Errors = list[dict[str, Any]]


def test_receives_into_the_buffer(loop: Loop, run: Run) -> None:
    """S16.6: asked with -1, filled, told how much."""
    hints: list[int] = []

    def allocate(hint: int) -> bytearray:
        hints.append(hint)
        return bytearray(4)

    async def main() -> None:
        async with connection(lambda: BufferedRecorder(allocate)) as (_, protocol, peer):
            peer.send(b"0123456789")
            await eventually(lambda: protocol.data == b"0123456789")
            pieces = [event[1] for event in protocol.events if event[0] == "data"]
            assert pieces == [b"0123", b"4567", b"89"]
            assert set(hints) == {-1}

    run(main())


@pytest.mark.parametrize(
    "buffer",
    [
        bytearray(64),
        memoryview(bytearray(64)),
        memoryview(bytearray(64))[8:40],
        array.array("B", bytes(64)),
        ctypes.create_string_buffer(64),
    ],
    ids=["bytearray", "memoryview", "slice", "array", "ctypes"],
)
def test_kinds_of_buffers(loop: Loop, run: Run, buffer: Any) -> None:
    """S16.6: anything writable that has bytes."""

    async def main() -> None:
        async with connection(lambda: BufferedRecorder(lambda hint: buffer)) as (_, protocol, peer):
            for _ in range(5):
                peer.send(b"abc")
            await eventually(lambda: protocol.data == b"abc" * 5)

    run(main())


def test_much_data(loop: Loop, run: Run) -> None:
    """S16.6, S16.14."""
    data = bytes(range(256)) * 8192

    async def main() -> None:
        buffer = bytearray(50_001)
        async with connection(lambda: BufferedRecorder(lambda hint: buffer)) as (_, protocol, peer):
            await send(peer, data)
            await eventually(lambda: len(protocol.data) == len(data))
            assert protocol.data == data

    run(main())


def test_eof(loop: Loop, run: Run) -> None:
    """S16.8: as for plain protocols."""

    async def main() -> None:
        async with connection(BufferedRecorder) as (_, protocol, peer):
            peer.send(b"last")
            peer.close()
            await eventually(lambda: protocol.lost)
            assert protocol.names == ["made", "data", "eof", "lost"]

    run(main())


def test_read_error(loop: Loop, run: Run) -> None:
    """S16.10."""

    async def main() -> None:
        async with connection(BufferedRecorder) as (_, protocol, peer):
            reset(peer)
            await eventually(lambda: protocol.lost)
            assert isinstance(protocol.lost[0], ConnectionResetError)

    run(main())


@pytest.mark.parametrize("empty", [bytearray(), memoryview(b""), b""])
def test_empty_buffer(loop: Loop, run: Run, errors: Errors, empty: Any) -> None:
    """S16.6."""

    async def main() -> None:
        async with connection(lambda: BufferedRecorder(lambda hint: empty)) as (_, protocol, peer):
            peer.send(b"x")
            await eventually(lambda: protocol.lost)
            (context,) = errors
            assert context["message"] == "Fatal error: protocol.get_buffer() call failed."
            assert str(context["exception"]) == "get_buffer() returned an empty buffer"
            assert type(context["exception"]) is RuntimeError
            assert protocol.lost == [context["exception"]]

    run(main())


NOT_WRITABLE = "recv_into() argument 1 must be read-write bytes-like object, not "


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (None, "object of type 'NoneType' has no len()"),
        (3, "object of type 'int' has no len()"),
        ("text", f"{NOT_WRITABLE}str"),
        (b"read-only", f"{NOT_WRITABLE}bytes"),
        (memoryview(bytearray(8))[::2], f"{NOT_WRITABLE}memoryview"),
    ],
)
def test_wrong_buffer(loop: Loop, run: Run, errors: Errors, wrong: Any, text: str) -> None:
    """S16.6, S16.9: fatal for the connection, no more."""

    async def main() -> None:
        async with connection(lambda: BufferedRecorder(lambda hint: wrong)) as (_, protocol, peer):
            peer.send(b"x")
            await eventually(lambda: protocol.lost)
            assert len(errors) == 1
            assert errors[0]["protocol"] is protocol
            assert type(protocol.lost[0]) is TypeError
            assert str(protocol.lost[0]) == text

    run(main())


class Boom(Exception):
    """Raised by protocols."""


@pytest.mark.parametrize("method", ["get_buffer", "buffer_updated"])
def test_failing_protocol(loop: Loop, run: Run, errors: Errors, method: str) -> None:
    """S16.9."""

    def fail(self: Any, n: int) -> Any:
        raise Boom

    failing = type("Failing", (BufferedRecorder,), {method: fail})

    async def main() -> None:
        async with connection(failing) as (_, protocol, peer):
            peer.send(b"x")
            await eventually(lambda: protocol.lost)
            assert errors[0]["message"] == f"Fatal error: protocol.{method}() call failed."
            assert type(protocol.lost[0]) is Boom

    run(main())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("method", ["get_buffer", "buffer_updated"])
def test_exit_requests(loop: Loop, method: str, kind: type[BaseException]) -> None:
    """S0.11."""

    def fail(self: Any, n: int) -> Any:
        raise kind

    failing = type("Failing", (BufferedRecorder,), {method: fail})

    async def main() -> None:
        async with connection(failing) as (_, _, peer):
            peer.send(b"x")
            await asyncio.sleep(5)

    task = loop.create_task(main())
    with pytest.raises(kind):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


def test_switching_kinds(loop: Loop, run: Run) -> None:
    """S16.7: plain to buffered and back, decided at set_protocol time."""

    async def main() -> None:
        async with connection(Recorder) as (transport, plain, peer):
            peer.send(b"one")
            await eventually(lambda: plain.data == b"one")
            buffered, last = BufferedRecorder(), Recorder()
            transport.set_protocol(buffered)
            peer.send(b"two")
            await eventually(lambda: buffered.data == b"two")
            transport.set_protocol(last)
            peer.close()
            await eventually(lambda: last.lost)
            assert last.names == ["eof", "lost"]
            assert buffered.names == ["data"]

    run(main())


def test_switching_inside_get_buffer(loop: Loop, run: Run) -> None:
    """S16.7: the protocol that gave the buffer is not asked again."""
    second = Recorder()

    class First(BufferedRecorder):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            self.transport.set_protocol(second)

    async def main() -> None:
        async with connection(lambda: First(lambda hint: bytearray(2))) as (_, first, peer):
            peer.send(b"abcd")
            await eventually(lambda: second.data == b"cd")
            assert first.data == b"ab"

    run(main())


def test_closing_inside_get_buffer(loop: Loop, run: Run) -> None:
    """S16.6, S16.21."""

    class Closing(BufferedRecorder):
        def get_buffer(self, sizehint: int) -> Any:
            self.transport.close()
            return super().get_buffer(sizehint)

    async def main() -> None:
        async with connection(Closing) as (_, protocol, peer):
            peer.send(b"x")
            await eventually(lambda: protocol.lost)
            await asyncio.sleep(0.001)
            assert protocol.lost == [None]

    run(main())
