"""S30: the transport that reads a pipe: starting, data, end of file, errors, pausing."""

import asyncio
import errno
import fcntl
import gc
import logging
import os
import re
import socket
import weakref
from typing import Any

import pytest
from support.fds import is_open
from support.gates import ferroloop_only, linux_only
from support.log import LogList
from support.loops import Loop, Run
from support.messages import varied_messages
from support.net import eventually
from support.pipes import KINDS, both, pipe, reading, terminal
from support.protocols import Recorder
from support.turns import turn
from support.unclosed import unclosed

Errors = list[dict[str, Any]]


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_read(loop: Loop, run: Run, kind: str) -> None:
    """S30.1, S30.2."""

    async def main() -> None:
        async with reading(ends=KINDS[kind]) as (transport, protocol, writer):
            pipe = transport.get_extra_info("pipe")
            assert not os.get_blocking(pipe.fileno())
            assert isinstance(transport, asyncio.ReadTransport)
            os.write(writer.fileno(), b"bytes")
            await eventually(lambda: protocol.data == b"bytes")
            assert transport.get_protocol() is protocol
            assert transport.get_extra_info("socket", "none") == "none"

    run(main())


def test_what_cannot_be_read(loop: Loop, run: Run) -> None:
    """S30.1: the file stays its owner's; nobody keeps the protocol."""
    protocol = Recorder()
    gone = weakref.ref(protocol)
    with open(__file__, "rb") as file:
        factory = [protocol].pop
        del protocol
        with pytest.raises(ValueError, match=r"^Pipe transport is for pipes/sockets only\.$"):
            run(loop.connect_read_pipe(factory, file))
        gc.collect()
        assert gone() is None
        assert file.read(3) == b'"""'
        assert os.get_blocking(file.fileno())


@ferroloop_only("asyncio's finaliser warns, and closes the file", "S30.1")
@pytest.mark.parametrize("number", [1_000_000, -1])
def test_a_number_that_is_not_open(loop: Loop, run: Run, number: int) -> None:
    """S30.1: any constructor error leaves the file alone; a closed socket's number is -1."""

    class Closed:
        def fileno(self) -> int:
            return number

        def close(self) -> None:
            raise AssertionError("closed by the transport")

    with pytest.raises(OSError, match="Bad file descriptor"):
        run(loop.connect_read_pipe(Recorder, Closed()))
    gc.collect()


def test_starting_order(loop: Loop) -> None:
    """S30.3: connection_made, then reading, then the creator."""
    with both() as (reader, writer):
        writer.write(b"early")
        protocol = Recorder()
        task = loop.create_task(loop.connect_read_pipe(lambda: protocol, reader))
        turns = 0
        while not protocol.events:
            turn(loop)
            turns += 1
        assert protocol.names == ["made"]
        assert turns <= 3
        transport, same = loop.run_until_complete(task)
        assert same is protocol
        turn(loop, 2)
        assert protocol.data == b"early"
        transport.close()
        turn(loop)


@pytest.mark.parametrize("method", ["pause_reading", "close"])
def test_connection_made_may_stop_reading(loop: Loop, run: Run, method: str) -> None:
    """S30.4."""

    class Protocol(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            getattr(transport, method)()

    def early() -> Any:
        reader, writer = pipe()
        writer.write(b"unread")
        return reader, writer

    async def main() -> None:
        async with reading(Protocol, early) as (transport, protocol, _):
            assert not transport.is_reading()
            await asyncio.sleep(0.002)
            assert protocol.names == (["made"] if method == "pause_reading" else ["made", "lost"])

    run(main())


@linux_only
def test_one_read_per_event(loop: Loop, run: Run) -> None:
    """S30.5, S0.28: up to 256 KiB at once, and others have their turn in between."""
    data = bytes(range(256)) * 4096
    order: list[Any] = []

    class Protocol(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            order.append(len(data))
            loop.call_soon(order.append, "other")

    async def main() -> None:
        async with reading(Protocol) as (transport, protocol, writer):
            transport.pause_reading()
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, len(data))
            assert writer.write(data) == len(data)
            transport.resume_reading()
            await eventually(lambda: len(protocol.data) == len(data))
            await asyncio.sleep(0)
            assert order == [262144, "other"] * 4
            assert protocol.data == data

    run(main())


@linux_only
def test_messages_of_all_sizes(loop: Loop, run: Run) -> None:
    """S30.5: one after the other, small after large and back; what came stays what it was."""
    messages = varied_messages()

    async def main() -> None:
        async with reading() as (_, protocol, writer):
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 1 << 18)
            for count, message in enumerate(messages, 1):
                assert writer.write(message) == len(message)
                await eventually(lambda count=count: protocol.data == b"".join(messages[:count]))
            assert all(type(event[1]) is bytes for event in protocol.events if event[0] == "data")

    run(main())


def test_messages_arrive_whole(loop: Loop, run: Run) -> None:
    """S30.5, S0.28: a socket forgets what a read has no room for."""
    sizes = [10, 50_000, 150_000, 20_000, 130_000]

    async def main() -> None:
        async with reading(ends=lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as ends:
            _, protocol, writer = ends
            writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
            for count, size in enumerate(sizes, 1):
                writer.send(bytes(size))
                await eventually(lambda count=count: len(protocol.events) == 1 + count)
            assert [len(event[1]) for event in protocol.events if event[0] == "data"] == sizes

    run(main())


def test_nothing_to_read_after_all(loop: Loop, run: Run, errors: Errors) -> None:
    """S30.5: somebody else took the bytes between the event and the read."""

    async def main() -> None:
        async with reading() as (_, protocol, writer):
            loop.call_soon(os.read, protocol.transport.get_extra_info("pipe").fileno(), 9)
            writer.write(b"stolen")
            await asyncio.sleep(0.001)
            assert protocol.names == ["made"]
            writer.write(b"ours")
            await eventually(lambda: protocol.data == b"ours")

    run(main())
    assert errors == []


@pytest.mark.parametrize("result", [None, True])
def test_end_of_file(loop: Loop, run: Run, logged: LogList, result: Any) -> None:
    """S30.6, S8.11: the transport closes whatever eof_received says."""
    loop.set_debug(True)

    class Protocol(Recorder):
        def eof_received(self) -> bool | None:
            assert self.transport.is_closing()
            assert not self.transport.is_reading()
            loop.call_soon(self.events.append, ("a later step",))
            return super().eof_received()

    async def main() -> None:
        async with reading(lambda: Protocol(result)) as (transport, protocol, writer):
            writer.write(b"last")
            writer.close()
            await eventually(lambda: protocol.lost)
            await asyncio.sleep(0)
            assert protocol.names[:4] == ["made", "data", "eof", "lost"]
            assert protocol.lost == [None]
            assert not is_open(int(re.findall(r"fd=(\d+)", repr(transport))[0]))

    run(main())
    assert [text.endswith("was closed by peer") for text in logged.texts(logging.INFO)] == [True]


def test_failing_eof_received(loop: Loop, run: Run, errors: Errors) -> None:
    """S30.6, S3.10."""

    class Protocol(Recorder):
        def eof_received(self) -> None:
            raise ValueError("eof")

    async def main() -> None:
        async with reading(Protocol) as (_, protocol, writer):
            writer.close()
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [None]

    run(main())
    assert [str(context["exception"]) for context in errors] == ["eof"]
    assert "Exception in callback" in errors[0]["message"]


@pytest.mark.parametrize("debug", [False, True])
def test_terminal_whose_other_side_closed(loop: Loop, run: Run, logged: LogList, errors: Errors, debug: bool) -> None:
    """S30.7: EIO is how a terminal ends, and no business of the exception handler."""
    loop.set_debug(debug)

    async def main() -> None:
        async with reading(ends=terminal) as (_, protocol, program):
            program.write(b"bye")
            await eventually(lambda: protocol.data)
            program.close()
            await eventually(lambda: protocol.lost)
            assert protocol.names == ["made", "data", "lost"]
            assert protocol.lost[0].errno == errno.EIO

    run(main())
    assert errors == []
    said = [text for text in logged.texts() if "Fatal read error on pipe transport" in text]
    assert len(said) == debug


def test_read_error(loop: Loop, run: Run, errors: Errors) -> None:
    """S30.7: every other error is reported, and ends the connection without an eof_received."""

    async def main() -> None:
        async with reading() as (transport, protocol, writer):
            fd = transport.get_extra_info("pipe").fileno()
            copy = os.dup(fd)  # keeps the event coming
            os.dup2(writer.fileno(), fd)
            writer.write(b"x")
            await eventually(lambda: protocol.lost)
            os.close(copy)
            assert protocol.names == ["made", "lost"]
            assert protocol.lost[0].errno == errno.EBADF
            assert errors[0]["message"] == "Fatal read error on pipe transport"
            assert errors[0]["exception"] is protocol.lost[0]
            assert errors[0]["transport"] is transport
            assert errors[0]["protocol"] is protocol

    run(main())
    assert len(errors) == 1


def test_failing_data_received(loop: Loop, run: Run, errors: Errors) -> None:
    """S30.8: a failed callback; unlike a socket, the pipe goes on."""

    class Protocol(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if data == b"bad":
                raise ValueError(data)

    async def main() -> None:
        async with reading(Protocol) as (transport, protocol, writer):
            writer.write(b"bad")
            await eventually(lambda: protocol.data)
            assert not transport.is_closing()
            writer.write(b"good")
            await eventually(lambda: protocol.data == b"badgood")

    run(main())
    assert [type(context["exception"]) for context in errors] == [ValueError]
    assert "Exception in callback" in errors[0]["message"]
    assert "bad" not in errors[0]["message"], "what was received is nobody else's business"
    assert isinstance(errors[0]["handle"], asyncio.Handle)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_exit_requests_leave_the_run(loop: Loop, kind: type[BaseException]) -> None:
    """S30.8, S0.11."""

    class Protocol(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if data == b"out":
                raise kind

    with both() as (reader, writer):
        connecting = loop.connect_read_pipe(Protocol, reader)
        transport, protocol = loop.run_until_complete(connecting)
        writer.write(b"out")
        with pytest.raises(kind):
            loop.run_forever()
        writer.write(b"in")
        turn(loop, 2)
        assert protocol.data == b"outin"
        transport.close()
        turn(loop)


def test_pausing(loop: Loop, run: Run, logged: LogList) -> None:
    """S30.9, S30.10, S8.11: each change once; what comes meanwhile waits in the kernel."""
    loop.set_debug(True)

    async def main() -> None:
        async with reading() as (transport, protocol, writer):
            assert transport.is_reading()
            for _ in range(2):
                transport.pause_reading()
            assert not transport.is_reading()
            writer.write(b"waits")
            await asyncio.sleep(0.002)
            assert protocol.data == b""
            for _ in range(2):
                transport.resume_reading()
            await eventually(lambda: protocol.data == b"waits")

    run(main())
    changes = [text.split()[-2:] for text in logged.texts(logging.DEBUG) if text.endswith("reading")]
    assert changes == [["pauses", "reading"], ["resumes", "reading"]]


@ferroloop_only("asyncio raises RuntimeError", "S30.9")
def test_resuming_when_the_loop_is_closed(loop: Loop, errors: Errors) -> None:
    """S30.9: nothing more will come, and that is no error of the pipe's."""
    with both() as (reader, _):
        connecting = loop.connect_read_pipe(Recorder, reader)
        transport, protocol = loop.run_until_complete(connecting)
        transport.pause_reading()
        loop.close()
        transport.resume_reading()
        assert not transport.is_closing()
        assert errors == protocol.lost == []
        with unclosed("unclosed transport"):
            del transport, protocol, connecting


def test_pausing_after_data_came(loop: Loop) -> None:
    """S30.10: pausing between the event and the read leaves the data where it is."""
    with both() as (reader, writer):
        connecting = loop.connect_read_pipe(Recorder, reader)
        transport, protocol = loop.run_until_complete(connecting)
        loop.call_soon(transport.pause_reading)
        writer.write(b"data")
        turn(loop)
        assert protocol.data == b""
        transport.resume_reading()
        turn(loop)
        assert protocol.data == b"data"
        transport.close()
        turn(loop)
