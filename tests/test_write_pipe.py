"""S31: the transport that writes to a pipe: starting, its reader, data, errors, flow control."""

import array
import asyncio
import errno
import gc
import io
import logging
import os
import re
import socket
import weakref
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually
from support.pipes import KINDS, both, fifo, pipe, read_now, read_to_end, sockets, terminal, writing
from support.protocols import Recorder
from support.turns import turn

Errors = list[dict[str, Any]]
BIG = bytes(range(256)) * 4096  # 1 MiB: no pipe takes it at once
LOST = "pipe closed by peer or os.write(pipe, data) raised exception."
WITH_READERS = {"pipe": pipe, "fifo": fifo, "socket": sockets}


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_written_to(loop: Loop, run: Run, kind: str) -> None:
    """S31.1, S31.2: the protocol needs only the methods of BaseProtocol."""

    async def main() -> None:
        async with writing(asyncio.BaseProtocol, KINDS[kind]) as (transport, protocol, reader):
            assert not os.get_blocking(transport.get_extra_info("pipe").fileno())
            assert isinstance(transport, asyncio.WriteTransport)
            assert transport.get_protocol() is protocol
            transport.write(b"bytes")
            await eventually(lambda: read_now(reader) == b"bytes")

    run(main())


def test_what_cannot_be_written_to(loop: Loop, run: Run, tmp_path: Any) -> None:
    """S31.1: the file stays its owner's; nobody keeps the protocol."""
    protocol = Recorder()
    gone = weakref.ref(protocol)
    text = r"^Pipe transport is only for pipes, sockets and character devices$"
    with open(tmp_path / "file", "wb") as file:
        factory = [protocol].pop
        del protocol
        with pytest.raises(ValueError, match=text):
            run(loop.connect_write_pipe(factory, file))
        gc.collect()
        assert gone() is None
        assert file.write(b"still open") == 10


def test_starting_order(loop: Loop) -> None:
    """S31.3: connection_made, then the watch for the reader, then the creator."""
    with both() as (reader, writer):
        reader.close()
        protocol = Recorder()
        task = loop.create_task(loop.connect_write_pipe(lambda: protocol, writer))
        while not protocol.events:
            turn(loop)
        assert protocol.names == ["made"]
        loop.run_until_complete(task)
        turn(loop, 2)
        assert protocol.names == ["made", "lost"]


@pytest.mark.parametrize("kind", WITH_READERS)
def test_reader_goes(loop: Loop, run: Run, logged: LogList, kind: str) -> None:
    """S31.4, S31.5: nothing was left to send."""
    loop.set_debug(True)

    async def main() -> None:
        async with writing(ends=WITH_READERS[kind]) as (transport, protocol, reader):
            transport.write(b"read in time")
            assert read_now(reader) == b"read in time"
            reader.close()
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [None]
            assert transport.is_closing()

    run(main())
    assert [text.endswith("was closed by peer") for text in logged.texts(logging.INFO)] == [True]


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("kind", WITH_READERS)
def test_reader_goes_too_early(loop: Loop, run: Run, kind: str, closes: bool) -> None:
    """S31.5: what it did not read is dropped, also while closing."""

    async def main() -> None:
        async with writing(ends=WITH_READERS[kind]) as (transport, protocol, reader):
            transport.write(BIG)
            assert transport.get_write_buffer_size() > 0
            if closes:
                transport.close()
            await asyncio.sleep(0.002)
            assert protocol.lost == []
            reader.close()
            await eventually(lambda: protocol.lost)
            assert [type(exc) for exc in protocol.lost] == [BrokenPipeError]
            assert transport.get_write_buffer_size() == 0

    run(main())


def test_terminal_has_no_readers(loop: Loop, run: Run) -> None:
    """S31.4: bytes for a program to read, or a master that is there, mean nothing to a writer."""

    async def main() -> None:
        async with writing(ends=terminal) as (transport, protocol, master):
            master.write(b"typed")
            await asyncio.sleep(0.002)
            assert protocol.names == ["made"]
            transport.write(b"shown")
            await eventually(lambda: read_now(master) == b"shown")

    run(main())


def test_bytes_from_the_peer(loop: Loop, run: Run) -> None:
    """S31.6: on a socket they count as its closing."""

    async def main() -> None:
        async with writing(ends=sockets) as (_, protocol, peer):
            peer.send(b"talks back")
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [None]

    run(main())


@pytest.mark.parametrize("data", [b"abc", bytearray(b"abc"), memoryview(b"xabcx")[1:4]])
def test_kinds_of_data(loop: Loop, run: Run, data: Any) -> None:
    """S31.7; nothing at all is ignored."""

    async def main() -> None:
        async with writing() as (transport, _, reader):
            transport.write(data)
            transport.writelines([data, data])
            for nothing in (b"", bytearray(), memoryview(b"")):
                transport.write(nothing)
            transport.writelines([])
            transport.writelines([array.array("B", b"abc")])
            transport.close()
            assert await read_to_end(reader) == b"abcabcabcabc"

    run(main())


@pytest.mark.parametrize("wrong", ["text", 1, None, [b"x"]])
def test_wrong_data(loop: Loop, run: Run, wrong: Any) -> None:
    """S31.7."""

    async def main() -> None:
        async with writing() as (transport, _, reader):
            with pytest.raises(AssertionError, match=f"^{re.escape(repr(wrong))}$"):
                transport.write(wrong)
            transport.write(b"goes on")
            assert read_now(reader) == b"goes on"

    run(main())


def test_lines_are_one_write(loop: Loop, run: Run) -> None:
    """S31.8: other writers to the pipe come before or after them (PIPE_BUF, pipe(7))."""

    async def main() -> None:
        async with writing(ends=lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as ends:
            transport, _, reader = ends
            transport.writelines([b"ab"] * 100)
            assert reader.recv(1000) == b"ab" * 100

    run(main())


@pytest.mark.parametrize("wrong", [None, [b"x", "text"], [1]])
def test_lines_that_cannot_be_joined(loop: Loop, run: Run, wrong: Any) -> None:
    """S31.7: nothing is written."""

    async def main() -> None:
        async with writing() as (transport, _, reader):
            with pytest.raises(TypeError) as caught:
                b"".join(wrong)
            with pytest.raises(TypeError, match=f"^{re.escape(str(caught.value))}$"):
                transport.writelines(wrong)
            transport.write(b"goes on")
            assert read_now(reader) == b"goes on"

    run(main())


def test_an_owner_that_says_it_is_closed(loop: Loop, run: Run) -> None:
    """S31.9: whatever its `fileno()` raises, the descriptor is a bad one."""

    class Owner(io.FileIO):
        def fileno(self) -> int:
            if self.closed:
                raise OSError("handle is closed")
            return super().fileno()

    async def main() -> None:
        reader, writer = os.pipe()
        owner = Owner(writer, "w")
        transport, protocol = await loop.connect_write_pipe(Recorder, owner)
        owner.close()
        transport.write(b"lost")
        await eventually(lambda: protocol.lost)
        assert protocol.lost[0].errno == errno.EBADF
        os.close(reader)

    run(main())


@ferroloop_only("asks for the number once", spec="S0.11")
@pytest.mark.parametrize("exit_request", [SystemExit, KeyboardInterrupt])
def test_exit_request_of_an_owner(loop: Loop, exit_request: type[BaseException]) -> None:
    """S0.11: what a signal handler raises while the owner is asked is the caller's; the rest goes on."""

    class Owner(io.FileIO):
        interrupted = False

        def fileno(self) -> int:
            if self.interrupted:
                self.interrupted = False
                raise exit_request
            return super().fileno()

    reading, writing = os.pipe()

    async def main() -> None:
        owner = Owner(writing, "wb")
        transport, protocol = await loop.connect_write_pipe(Recorder, owner)
        owner.interrupted = True
        with pytest.raises(exit_request):
            transport.write(b"one")
        assert transport.is_closing() is False
        transport.write(b"two")
        await eventually(lambda: transport.get_write_buffer_size() == 0)
        assert os.read(reading, 100) == b"onetwo"
        transport.close()
        await eventually(lambda: protocol.lost)

    loop.run_until_complete(main())
    os.close(reading)


def test_written_at_once(loop: Loop, run: Run) -> None:
    """S31.8: the reader may be in this very thread."""

    async def main() -> None:
        async with writing() as (transport, _, reader):
            transport.write(b"one")
            transport.write(b"two")
            assert read_now(reader) == b"onetwo"
            assert transport.get_write_buffer_size() == 0

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_more_than_fits(loop: Loop, run: Run, kind: str) -> None:
    """S31.8, S31.11, S31.22: the rest is buffered, counted, and arrives in order."""

    async def main() -> None:
        async with writing(ends=KINDS[kind]) as (transport, _, reader):
            transport.write(BIG)
            taken = len(BIG) - transport.get_write_buffer_size()
            assert 0 <= taken < len(BIG)
            transport.write(b"the")
            transport.writelines([b" ", b"end"])
            assert transport.get_write_buffer_size() == len(BIG) - taken + 7
            received = b""
            while len(received) < len(BIG) + 7:
                received += read_now(reader)
                await asyncio.sleep(0)
            assert received == BIG + b"the end"
            await eventually(lambda: transport.get_write_buffer_size() == 0)

    run(main())


def test_buffer_is_private(loop: Loop, run: Run) -> None:
    """S31.8: later changes by the caller change nothing."""

    async def main() -> None:
        async with writing() as (transport, _, reader):
            data = bytearray(BIG)
            transport.write(data)
            data[:] = bytes(len(data))
            transport.write(memoryview(data)[:4])
            data[:4] = b"late"
            transport.close()
            assert await read_to_end(reader) == BIG + bytes(4)

    run(main())


@pytest.mark.parametrize("debug", [False, True])
def test_write_error(loop: Loop, run: Run, logged: LogList, errors: Errors, debug: bool) -> None:
    """S31.9, S31.10, S31.23: EPIPE is an OSError like any other; only debug mode speaks of it."""
    loop.set_debug(debug)

    async def main() -> None:
        async with writing() as (transport, protocol, reader):
            reader.close()
            transport.write(b"nobody")
            assert transport.is_closing()
            assert protocol.lost == []
            await eventually(lambda: protocol.lost)
            assert [type(exc) for exc in protocol.lost] == [BrokenPipeError]

    run(main())
    assert errors == []
    said = [text for text in logged.texts() if text.endswith("Fatal write error on pipe transport")]
    assert len(said) == debug


def test_flush_error(loop: Loop, run: Run, logged: LogList, errors: Errors) -> None:
    """S31.9, S31.10: the same for what was buffered, which is dropped."""
    loop.set_debug(True)

    async def main() -> None:
        async with writing(ends=terminal) as (transport, protocol, master):
            transport.write(BIG)
            master.close()
            await eventually(lambda: protocol.lost)
            assert [type(exc) for exc in protocol.lost] == [OSError]
            assert transport.get_write_buffer_size() == 0

    run(main())
    assert errors == []
    said = [text for text in logged.texts() if text.endswith("Fatal write error on pipe transport")]
    assert len(said) == 1


@ferroloop_only("asyncio loses the bytes", "S31.13, S17.6")
@pytest.mark.parametrize("last", ["close", "write_eof", None])
def test_written_while_resuming(loop: Loop, run: Run, last: str | None) -> None:
    """S31.13, S17.6: what resume_writing writes before it closes is delivered, and the loss told once."""
    more = b"m" * 300_000

    class Protocol(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            if self.names.count("resume") == 1:
                self.transport.write(more)
                if last is not None:
                    getattr(self.transport, last)()

    async def main() -> None:
        async with writing(Protocol) as (transport, protocol, reader):
            transport.write(b"f" * 200_000)
            received = b""
            while len(received) < 500_000:
                received += read_now(reader)
                await asyncio.sleep(0)
            assert received == b"f" * 200_000 + more
            transport.close()
            assert await read_to_end(reader) == b""
            assert protocol.lost == [None]

    run(main())


def test_flow_control(loop: Loop, run: Run) -> None:
    """S17.1 to S17.4, S17.7, S34.4: the water marks of a pipe."""

    async def main() -> None:
        async with writing() as (transport, protocol, reader):
            assert transport.get_write_buffer_limits() == (16384, 65536)
            transport.write(bytes(65536))  # what the pipe takes
            transport.write(bytes(65536))
            assert protocol.names == ["made"]
            transport.write(b"x")
            assert protocol.names == ["made", "pause"]
            transport.write(b"x")
            assert protocol.names == ["made", "pause"]
            while transport.get_write_buffer_size() > 0:
                read_now(reader)
                await asyncio.sleep(0)
            assert protocol.names == ["made", "pause", "resume"]
            transport.set_write_buffer_limits(low=10)
            assert transport.get_write_buffer_limits() == (10, 40)
            with pytest.raises(ValueError, match=re.escape("high (1) must be >= low (2) must be >= 0")):
                transport.set_write_buffer_limits(1, 2)

    run(main())


@ferroloop_only("asyncio waits until nothing is left", "S17.3")
def test_resumes_at_the_low_mark(loop: Loop, run: Run) -> None:
    """S17.3."""

    class Protocol(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            left.append(self.transport.get_write_buffer_size())

    left: list[int] = []

    async def main() -> None:
        async with writing(Protocol) as (transport, _, reader):
            transport.write(bytes(65536 + 65536 + 10_000))
            while not left:
                read_now(reader)
                await asyncio.sleep(0)
            assert left == [10_000]

    run(main())
