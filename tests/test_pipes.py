"""S30, S31: both ends of a pipe at once, and pipes whose owner interferes."""

import asyncio
import io
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually, unix_pair
from support.pipes import KINDS, both, pipe, read_now, reading, terminal, writing
from support.protocols import Recorder
from support.turns import turn

Errors = list[dict[str, Any]]


@pytest.mark.parametrize("kind", KINDS)
def test_megabytes(loop: Loop, run: Run, kind: str) -> None:
    """S30.5, S31.11: 8 MiB from transport to transport."""
    data = os.urandom(1 << 20) * 8

    async def main() -> None:
        reader, writer = KINDS[kind]()
        source, _ = await loop.connect_write_pipe(Recorder, writer)
        target, received = await loop.connect_read_pipe(Recorder, reader)
        source.write(data)
        await eventually(lambda: len(received.data) == len(data), 30)
        assert received.data == data
        source.close()
        target.close()
        await asyncio.sleep(0.001)

    run(main(), 40)


@pytest.mark.parametrize("end", [0, 1], ids=["read", "write"])
def test_cancelled_while_connecting(loop: Loop, end: int) -> None:
    """S30.16, S31.21: the transport is closed, and its end of the pipe with it."""
    with both() as ends:
        connect = [loop.connect_read_pipe, loop.connect_write_pipe][end]
        protocol = Recorder()
        task: asyncio.Task[Any] = loop.create_task(connect(lambda: protocol, ends[end]))
        turn(loop)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        turn(loop, 2)
        assert protocol.names == ["made", "lost"]
        assert ends[end].closed
        assert not ends[not end].closed


@ferroloop_only("asyncio leaves half a transport to the collector", spec="S30.16")
@pytest.mark.parametrize("end", [0, 1], ids=["read", "write"])
def test_a_closed_loop(loop: Loop, run: Run, new_loop: Callable[[], Loop], end: int) -> None:
    """S30.16, S31.21, S2.24: nothing is waited for that cannot come, and the pipe stays its owner's."""
    closed = new_loop()
    closed.close()
    with both() as ends:
        with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
            run([closed.connect_read_pipe, closed.connect_write_pipe][end](Recorder, ends[end]))
        assert not ends[end].closed


@pytest.mark.parametrize(("name", "connected"), [("Read", reading), ("Write", writing)])
def test_debug_log(loop: Loop, run: Run, logged: LogList, name: str, connected: Any) -> None:
    """S30.16, S31.21."""
    loop.set_debug(True)

    async def main() -> str:
        async with connected() as (transport, protocol, _):
            fd = transport.get_extra_info("pipe").fileno()
            return f"{name} pipe {fd} connected: ({transport!r}, {protocol!r})"

    assert run(main()) in logged.texts(logging.DEBUG)


def test_a_terminal_in_both_hands(loop: Loop, run: Run) -> None:
    """S30.1, S31.1: one file, given to a read and to a write transport."""

    async def main() -> None:
        with both(terminal) as (master, program):
            output, shown = await loop.connect_read_pipe(Recorder, master)
            keyboard, typing = await loop.connect_write_pipe(Recorder, master)
            keyboard.write(b"question")
            await eventually(lambda: read_now(program) == b"question")
            program.write(b"answer")
            await eventually(lambda: shown.data == b"answer")
            keyboard.write(b"q" * 100_000)  # blocked on one side, reading on the other
            assert keyboard.get_write_buffer_size() > 0
            program.write(b"!")
            await eventually(lambda: shown.data == b"answer!")
            output.pause_reading()
            while keyboard.get_write_buffer_size():
                read_now(program)
                await asyncio.sleep(0)
            output.resume_reading()
            program.write(b"?")
            await eventually(lambda: shown.data == b"answer!?")
            output.close()
            keyboard.close()
            await eventually(lambda: shown.lost and typing.lost)

    run(main())


def test_a_program_at_a_terminal(loop: Loop, run: Run) -> None:
    """S30.7: a shell's dialogue over a pty ends with EIO when the shell does."""

    async def main() -> None:
        with both(terminal) as (master, program):
            shell = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", 'read line; echo "got $line"', stdin=program, stdout=program, stderr=program
            )
            program.close()
            output, shown = await loop.connect_read_pipe(Recorder, master)
            os.write(master.fileno(), b"hello\n")
            await eventually(lambda: shown.lost)
            assert b"got hello" in shown.data
            assert isinstance(shown.lost[0], OSError)
            assert await shell.wait() == 0
            assert output.is_closing()

    run(main())


def test_users_callback_on_the_other_side(loop: Loop, run: Run) -> None:
    """S7.4: the side a pipe does not use is free."""
    seen: list[str] = []

    async def main() -> None:
        with both(terminal) as (master, program):
            transport, protocol = await loop.connect_read_pipe(Recorder, master)
            loop.add_writer(master.fileno(), seen.append, "writable")
            program.write(b"x")
            await eventually(lambda: protocol.data == b"x" and seen)
            assert loop.remove_writer(master.fileno())
            program.write(b"y")
            await eventually(lambda: protocol.data == b"xy")
            transport.close()
            await asyncio.sleep(0)

    run(main())


@ferroloop_only("asyncio takes the socket away from its transport", "S7.5")
@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
def test_socket_of_a_stream_transport(loop: Loop, run: Run, method: str) -> None:
    """S7.5: one owner for each descriptor."""

    async def main() -> None:
        left, right = socket.socketpair()
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        with pytest.raises(RuntimeError, match=f"^File descriptor .* is used by transport <.*fd={left.fileno()} "):
            await getattr(loop, method)(Recorder, left)
        right.send(b"alive")
        await eventually(lambda: protocol.data == b"alive")
        transport.close()
        right.close()
        await asyncio.sleep(0)

    run(main())


@ferroloop_only("asyncio lets two have it", "S7.5")
def test_socket_of_a_transport_that_still_sends(loop: Loop, run: Run) -> None:
    """S7.5, S16.22: what was written before `close()` arrives."""
    data = bytes(5_000_000)

    async def main() -> None:
        left, right = unix_pair()
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        transport.write(data)
        transport.close()
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.connect_read_pipe(Recorder, left)
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(left, print)
        received = 0
        while chunk := await loop.sock_recv(right, 1 << 20):
            received += len(chunk)
        assert received == len(data)
        assert protocol.lost == [None]
        right.close()

    run(main())


@ferroloop_only("asyncio goes on with the number, whoever's it is", "S7.8")
def test_closed_behind_our_back(loop: Loop, run: Run, errors: Errors) -> None:
    """S31.9: the number belongs to somebody else now, who gets none of our bytes."""

    async def main() -> None:
        with both() as (_, writer), both() as (other_reader, other_writer):
            transport, protocol = await loop.connect_write_pipe(Recorder, writer)
            fd = writer.fileno()
            copy = os.dup(fd)
            writer.close()
            os.dup2(other_writer.fileno(), fd)
            transport.write(b"private")
            assert read_now(other_reader) == b""
            await eventually(lambda: protocol.lost)
            assert isinstance(protocol.lost[0], OSError)
            os.close(copy)
            os.close(fd)

    run(main())
    assert errors == []


@ferroloop_only("asyncio reports the failed add_reader and lets the pipe hang", "S30.7")
@pytest.mark.parametrize("debug", [False, True])
def test_a_device_that_cannot_be_polled(loop: Loop, run: Run, errors: Errors, debug: bool) -> None:
    """S30.7: epoll refuses /dev/zero, and the transport would wait for ever."""
    loop.set_debug(debug)

    async def main() -> None:
        _, protocol = await loop.connect_read_pipe(Recorder, io.FileIO("/dev/zero"))
        await eventually(lambda: protocol.lost)
        assert isinstance(protocol.lost[0], PermissionError)

    run(main())
    assert [context["message"] for context in errors] == ["Fatal read error on pipe transport"]


def test_dev_null_takes_everything(loop: Loop, run: Run) -> None:
    """S31.1, S31.4: it can be written to without being polled."""

    async def main() -> None:
        transport, protocol = await loop.connect_write_pipe(Recorder, io.FileIO("/dev/null", "w"))
        transport.write(bytes(1 << 20))
        assert transport.get_write_buffer_size() == 0
        transport.close()
        await eventually(lambda: protocol.lost)

    run(main())


def test_sigpipe(run_script: Callable[..., Any]) -> None:
    """S31.23: writing to a pipe without readers leaves the process alive."""
    script = run_script(
        """
import asyncio, os
reader, writer = os.pipe()
async def main():
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, open(writer, "wb", 0))
    os.close(reader)
    transport.write(b"x")
    await asyncio.sleep(0.01)
    print("alive")
loop = new_event_loop()
loop.run_until_complete(main())
loop.close()
"""
    )
    assert script.out == "alive\n"


def test_standard_streams(run_script: Callable[..., Any]) -> None:
    """S30.1, S31.1: sys.stdin and sys.stdout of a filter, read and written by streams."""
    script = run_script(
        """
import asyncio, sys
async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    async for line in reader:
        writer.write(line.upper())
        await writer.drain()
    writer.close()
loop = new_event_loop()
loop.run_until_complete(main())
loop.run_until_complete(asyncio.sleep(0))
loop.close()
""",
        input="one\ntwo\n",
    )
    assert script.out == "ONE\nTWO\n"


def test_waiting_for_a_fifos_writer(loop: Loop, run: Run) -> None:
    """S30.3: a read end that nobody writes to yet is just silent, here as in asyncio."""

    async def main() -> None:
        reader, writer = pipe()
        transport, protocol = await loop.connect_read_pipe(Recorder, reader)
        await asyncio.sleep(0.005)
        assert protocol.names == ["made"]
        writer.close()
        await eventually(lambda: protocol.lost)
        assert transport.is_closing()

    run(main())
