"""S30: how the transport that reads a pipe ends, and what it shows of itself."""

import asyncio
import contextvars
import gc
import os
import re
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import eventually
from support.pipes import both, reading
from support.protocols import Recorder
from support.turns import turn
from support.unclosed import unclosed

Errors = list[dict[str, Any]]


def test_closing(loop: Loop) -> None:
    """S30.11: no more data, no eof, connection_lost(None) in a later iteration, once."""
    with both() as (reader, writer):
        connecting = loop.connect_read_pipe(Recorder, reader)
        transport, protocol = loop.run_until_complete(connecting)
        writer.write(b"unread")
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert protocol.names == ["made"]
        transport.pause_reading()
        transport.resume_reading()
        assert not transport.is_reading()
        turn(loop)
        assert protocol.names == ["made", "lost"]
        turn(loop, 2)
        transport.close()
        turn(loop)
        assert protocol.lost == [None]
        assert transport.get_protocol() is None
        assert reader.closed


@pytest.mark.parametrize("where", ["data_received", "eof_received", "connection_lost"])
def test_lost_once(loop: Loop, run: Run, where: str) -> None:
    """S30.12: the end of file comes in the same breath."""

    class Protocol(Recorder):
        pass

    def method(self: Protocol, *args: Any) -> None:
        getattr(Recorder, where)(self, *args)
        self.transport.close()

    setattr(Protocol, where, method)

    async def main() -> None:
        async with reading(Protocol) as (_, protocol, writer):
            writer.write(b"last")
            writer.close()
            await eventually(lambda: protocol.lost)
            await asyncio.sleep(0.002)
            assert len(protocol.lost) == 1

    run(main())


class OneEnd:
    """A pipe that is no file; counts the calls of close()."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.closed = 0

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        self.closed += 1
        os.close(self.fd)


@pytest.mark.parametrize("raises", [False, True])
def test_the_object_is_closed(loop: Loop, run: Run, errors: Errors, raises: bool) -> None:
    """S30.13: by its own close(), even if connection_lost fails; and nothing is kept."""

    class Protocol(Recorder):
        def connection_lost(self, exc: BaseException | None) -> None:
            assert end.closed == 0
            if raises:
                raise ValueError("lost")

    reader, writer = os.pipe()
    end = OneEnd(reader)

    async def main() -> None:
        transport, protocol = await loop.connect_read_pipe(Protocol, end)
        gone = weakref.ref(protocol)
        protocol.transport = None
        os.close(writer)
        await eventually(lambda: end.closed)
        errors.clear() if not raises else None
        del protocol
        assert transport.get_protocol() is None
        while errors:
            assert str(errors.pop()["exception"]) == "lost"
        gc.collect()
        assert gone() is None

    run(main())
    assert end.closed == 1


@ferroloop_only("asyncio's finaliser closes it again", "S30.13")
def test_failing_close(loop: Loop, run: Run, errors: Errors) -> None:
    """S30.13: the close() of a pipe is its owner's code."""

    class Failing(OneEnd):
        def close(self) -> None:
            super().close()
            raise OSError("cannot")

    reader, writer = os.pipe()

    async def main() -> None:
        transport, protocol = await loop.connect_read_pipe(Recorder, Failing(reader))
        transport.close()
        await eventually(lambda: errors)
        assert protocol.lost == [None]

    run(main())
    os.close(writer)
    assert [str(context["exception"]) for context in errors] == ["cannot"]
    assert "Exception in callback" in errors[0]["message"]


def test_repr(loop: Loop, run: Run) -> None:
    """S30.14: open, paused, closing, closed."""

    async def main() -> None:
        async with reading() as (transport, _, _):
            fd = transport.get_extra_info("pipe").fileno()
            texts = [repr(transport)]
            transport.pause_reading()
            texts.append(repr(transport))
            transport.close()
            texts.append(repr(transport))
            await asyncio.sleep(0)
            texts.append(repr(transport))
            assert [re.sub(r"^<\S+", "<", text) for text in texts] == [
                f"< fd={fd} polling>",
                f"< fd={fd} idle>",
                f"< closing fd={fd} idle>",
                f"< closed fd={fd} closed>",
            ]

    run(main())


@ferroloop_only("asyncio still asks the selector, which is closed", "S30.14")
def test_repr_on_a_closed_loop(new_loop: Callable[[], Loop]) -> None:
    """S30.14: what is polled is not known any more."""
    loop = new_loop()
    with both() as (reader, _):
        connecting = loop.connect_read_pipe(Recorder, reader)
        transport, protocol = loop.run_until_complete(connecting)
        loop.close()
        assert repr(transport).endswith(f" fd={reader.fileno()} open>")
        with unclosed("unclosed transport"):
            protocol.transport = None
            del transport


def test_finaliser(loop: Loop, run: Run) -> None:
    """S30.15."""

    async def main() -> None:
        with both() as (reader, _):
            transport, protocol = await loop.connect_read_pipe(Recorder, reader)
            transport.pause_reading()
            protocol.transport = None
            with unclosed(f"unclosed transport {transport!r}"):
                del transport
            assert reader.closed

    run(main())


def test_no_warning_after_closing(loop: Loop, run: Run) -> None:
    """S30.15."""

    async def main() -> None:
        async with reading() as (transport, protocol, _):
            transport.close()
            await asyncio.sleep(0)
        protocol.transport = None
        del transport
        gc.collect()

    run(main())


def test_set_protocol(loop: Loop, run: Run) -> None:
    """S30.18: the next data goes to the new one."""

    async def main() -> None:
        async with reading() as (transport, first, writer):
            writer.write(b"1")
            await eventually(lambda: first.data)
            second = Recorder()
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            writer.write(b"2")
            writer.close()
            await eventually(lambda: second.lost)
            assert (first.data, second.data) == (b"1", b"2")
            assert first.lost == []

    run(main())


def test_context(loop: Loop, run: Run) -> None:
    """S30.3, S7.11: the protocol is called in a copy of the creator's context."""
    name = contextvars.ContextVar("name", default="outside")
    seen: list[str] = []

    class Protocol(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            seen.append(name.get())

        def connection_lost(self, exc: BaseException | None) -> None:
            super().connection_lost(exc)
            seen.append(name.get())

    async def main() -> None:
        name.set("creator")
        async with reading(Protocol) as (_, protocol, writer):
            name.set("later")
            writer.write(b"x")
            await eventually(lambda: protocol.data)
            writer.close()
            await eventually(lambda: protocol.lost)

    run(main())
    assert seen == ["creator", "creator"]


def test_no_abort(loop: Loop, run: Run) -> None:
    """S30.17: there is nothing buffered to give up."""

    async def main() -> None:
        async with reading() as (transport, _, _):
            assert not hasattr(transport, "abort")

    run(main())
