"""S31: how the transport that writes to a pipe ends, and what it shows of itself."""

import asyncio
import gc
import logging
import re
import weakref
from typing import Any

import pytest
from support.fds import is_open
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually
from support.pipes import both, fifo, pipe, read_now, read_to_end, sockets, terminal, writing
from support.protocols import Recorder
from support.turns import turn
from support.unclosed import unclosed

Errors = list[dict[str, Any]]
BIG = bytes(range(256)) * 4096  # 1 MiB: no pipe takes it at once
LOST = "pipe closed by peer or os.write(pipe, data) raised exception."
WITH_READERS = {"pipe": pipe, "fifo": fifo, "socket": sockets}


def test_lost_in_the_flush_step(loop: Loop) -> None:
    """S31.12: with the last byte, and not a step later."""
    order: list[str] = []

    class Protocol(Recorder):
        def connection_lost(self, exc: BaseException | None) -> None:
            super().connection_lost(exc)
            order.append("lost")

    with both() as (reader, writer):
        transport, _ = loop.run_until_complete(loop.connect_write_pipe(Protocol, writer))
        transport.write(bytes(65536 + 1))
        transport.close()
        turn(loop)
        assert order == []
        assert len(read_now(reader)) == 65536
        loop.call_soon(lambda: loop.call_soon(order.append, "later"))
        turn(loop)
        assert order == ["lost"]
        turn(loop)
        assert order == ["lost", "later"]
        assert len(read_now(reader)) == 1


@ferroloop_only("asyncio reports the loss twice", "S31.13, S17.6")
@pytest.mark.parametrize("call", ["close", "abort", "write_eof"])
def test_ended_while_resuming(loop: Loop, run: Run, call: str) -> None:
    """S31.13, S17.6: connection_lost once."""

    class Protocol(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            getattr(self.transport, call)()

    async def main() -> None:
        async with writing(Protocol) as (transport, protocol, reader):
            transport.write(b"x" * 200_000)
            while not protocol.lost:
                read_now(reader)
                await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            assert protocol.lost == [None]
            assert protocol.names == ["made", "pause", "resume", "lost"]

    run(main())


@pytest.mark.parametrize(("fails", "quiet"), [(False, 5), (True, 4)])
def test_lost_writes(loop: Loop, run: Run, logged: LogList, fails: bool, quiet: int) -> None:
    """S31.14: after close() the sixth is worth a warning, after an error the fifth."""

    async def main() -> None:
        async with writing() as (transport, _, reader):
            if fails:
                reader.close()
                transport.write(b"fails")
            else:
                transport.close()
            for count in range(quiet + 2):
                transport.write(b"lost")
                transport.write(b"")
                assert logged.texts(logging.WARNING) == [LOST] * max(0, count + 1 - quiet)
            await asyncio.sleep(0)
            transport.write(b"still no error")

    run(main())
    assert logged.texts(logging.WARNING) == [LOST] * 3


@pytest.mark.parametrize("method", ["close", "write_eof"])
@pytest.mark.parametrize("again", ["close", "write_eof", "write"])
def test_closing(loop: Loop, run: Run, method: str, again: str) -> None:
    """S31.15, S31.16: what is buffered goes first; a second call and late writes do nothing."""

    async def main() -> None:
        async with writing() as (transport, protocol, reader):
            assert transport.can_write_eof()
            transport.write(BIG)
            getattr(transport, method)()
            assert transport.is_closing()
            getattr(transport, again)(*([b"late"] if again == "write" else []))
            assert await read_to_end(reader) == BIG
            assert protocol.lost == [None]

    run(main())


@pytest.mark.parametrize("method", ["close", "write_eof", "abort"])
def test_closing_with_nothing_buffered(loop: Loop, method: str) -> None:
    """S31.15, S31.17: the loss is told in a later step, once, and later calls do nothing."""
    with both() as (_, writer):
        transport, protocol = loop.run_until_complete(loop.connect_write_pipe(Recorder, writer))
        getattr(transport, method)()
        assert protocol.names == ["made"]
        turn(loop)
        assert protocol.lost == [None]
        transport.close()
        turn(loop, 2)
        assert protocol.lost == [None]
        assert writer.closed


def test_abort(loop: Loop, run: Run) -> None:
    """S31.17: what is buffered is dropped."""

    async def main() -> None:
        async with writing() as (transport, protocol, reader):
            transport.write(BIG)
            transport.abort()
            assert transport.get_write_buffer_size() == 0
            assert protocol.lost == []
            data = await read_to_end(reader)
            assert 0 < len(data) < len(BIG)
            assert protocol.lost == [None]

    run(main())


@ferroloop_only("asyncio logs an AttributeError", "S31.17")
@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("first", ["close", "write_eof", "abort"])
def test_abort_after_the_end(loop: Loop, run: Run, errors: Errors, first: str, buffered: bool) -> None:
    """S31.17: no second connection_lost."""

    async def main() -> None:
        async with writing() as (transport, protocol, _):
            if buffered:
                transport.write(BIG)
            getattr(transport, first)()
            transport.abort()
            transport.abort()
            await asyncio.sleep(0.001)
            transport.abort()
            await asyncio.sleep(0)
            assert protocol.lost == [None]

    run(main())
    assert errors == []


def test_closing_waits_for_the_reader(loop: Loop, run: Run) -> None:
    """S31.18: and abort() does not."""

    async def main() -> None:
        async with writing() as (transport, protocol, _):
            transport.write(BIG)
            transport.close()
            await asyncio.sleep(0.01)
            assert protocol.lost == []
            transport.abort()
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [None]

    run(main())


@pytest.mark.parametrize("raises", [False, True])
def test_the_object_is_closed(loop: Loop, run: Run, errors: Errors, raises: bool) -> None:
    """S31.19: also if connection_lost fails; and nothing is kept."""

    class Protocol(Recorder):
        def connection_lost(self, exc: BaseException | None) -> None:
            if raises:
                raise ValueError("lost")

    async def main() -> None:
        with both() as (_, writer):
            fd = writer.fileno()
            transport, protocol = await loop.connect_write_pipe(Protocol, writer)
            gone = weakref.ref(protocol)
            protocol.transport = None
            transport.close()
            del protocol
            await eventually(lambda: not is_open(fd))
            assert [str(context["exception"]) for context in errors] == ["lost"] * raises
            errors.clear()  # a report holds the frames that hold the protocol
            assert transport.get_protocol() is None
            gc.collect()
            assert gone() is None

    run(main())


def test_repr(loop: Loop, run: Run) -> None:
    """S31.20: open, blocked, closing, closed."""

    async def main() -> None:
        async with writing() as (transport, _, reader):
            fd = transport.get_extra_info("pipe").fileno()
            texts = [repr(transport)]
            transport.write(b"x" * 65540)
            texts.append(repr(transport))
            transport.close()
            texts.append(repr(transport))
            await read_to_end(reader)
            texts.append(repr(transport))
            assert [re.sub(r"^<\S+", "<", text) for text in texts] == [
                f"< fd={fd} idle bufsize=0>",
                f"< fd={fd} polling bufsize=4>",
                f"< closing fd={fd} polling bufsize=4>",
                f"< closed fd={fd} closed>",
            ]

    run(main())


def test_finaliser(loop: Loop, run: Run) -> None:
    """S31.21: a terminal is not watched, so nothing keeps its transport."""

    async def main() -> None:
        with both(terminal) as (_, writer):
            transport, protocol = await loop.connect_write_pipe(Recorder, writer)
            protocol.transport = None
            with unclosed(f"unclosed transport {transport!r}"):
                del transport
            assert writer.closed

    run(main())


def test_streams(loop: Loop, run: Run) -> None:
    """S57.1: a StreamWriter over a pipe: drain() waits for the reader, wait_closed() for the end."""

    async def main() -> None:
        with both() as (reader, writer):
            transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, writer)
            stream = asyncio.StreamWriter(transport, protocol, None, loop)
            stream.write(BIG)
            draining = asyncio.ensure_future(stream.drain())
            await asyncio.sleep(0.001)
            assert not draining.done()
            stream.close()
            assert await read_to_end(reader) == BIG
            await draining

    run(main())
