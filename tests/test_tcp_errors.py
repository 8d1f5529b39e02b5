"""S16.9, S16.10: protocols that raise and sockets that fail."""

import asyncio
import logging
import socket
from typing import Any

import pytest
from support.fds import is_open
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, Run
from support.net import connection, eventually, receive_all, reset, unix_pair
from support.protocols import BufferedRecorder, Recorder
from support.turns import turn

Errors = list[dict[str, Any]]


class Boom(Exception):
    """Raised by protocols."""


class Odd(BaseException):
    """Neither an Exception nor an exit request."""


def failing(method: str, exc: BaseException) -> type[Recorder]:
    """A recorder one of whose methods raises."""

    def fail(self: Recorder, *args: Any) -> None:
        raise exc

    return type("Failing", (Recorder,), {method: fail})


class Bare:
    """Has not even what every protocol has."""


@ferroloop_only("what there is of the transport is left to the collector", "S16.1")
def test_no_protocol(loop: Loop, run: Run) -> None:
    """S16.1: whoever makes the connection hears that its protocol is none, and the socket is closed."""

    async def main() -> None:
        ours, peer = unix_pair()
        with ours, peer:
            with pytest.raises(AttributeError, match="connection_made"):
                await loop.create_connection(Bare, sock=ours)
            assert peer.recv(1) == b""

    run(main())


@pytest.mark.parametrize("instead", [None, Bare()])
def test_no_connection_lost(loop: Loop, run: Run, errors: Errors, instead: Any) -> None:
    """S16.9, S9.14: a protocol without the method is a failed callback, and the run goes on."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            transport.set_protocol(instead)
            transport.abort()
            await eventually(lambda: bool(errors))
            (context,) = errors
            assert context["message"].startswith("Exception in callback ")
            assert isinstance(context["exception"], AttributeError)
            assert await asyncio.wait_for(loop.sock_recv(peer, 1), 5) == b""

    run(main())


@pytest.mark.parametrize("exc", [Boom(), Odd(), OSError(5, "text"), asyncio.CancelledError()])
@pytest.mark.parametrize("method", ["data_received", "eof_received"])
def test_failing_protocol(loop: Loop, run: Run, errors: Errors, method: str, exc: BaseException) -> None:
    """S16.9, S9.14: fatal for the connection only; an OSError is not even reported (S16.10)."""

    async def main() -> None:
        async with connection(failing(method, exc)) as (transport, protocol, peer):
            peer.send(b"data")
            peer.shutdown(socket.SHUT_WR)
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [exc]
            if isinstance(exc, OSError):
                assert errors == []
                return
            (context,) = errors
            assert context["message"] == f"Fatal error: protocol.{method}() call failed."
            assert context["exception"] is exc
            assert context["transport"] is transport
            assert context["protocol"] is protocol

    run(main())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("method", ["data_received", "eof_received", "connection_lost"])
def test_exit_requests_of_a_protocol(loop: Loop, method: str, kind: type[BaseException]) -> None:
    """S0.11: they leave the run, and the loop and its connections can go on."""
    left, right = unix_pair()
    transport, _ = loop.run_until_complete(loop.create_connection(failing(method, kind()), sock=left))
    turn(loop)
    right.send(b"data")
    right.shutdown(socket.SHUT_WR)
    with pytest.raises(kind):
        loop.run_forever()
    if method != "connection_lost":
        assert not transport.is_closing()
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0.001))
    right.close()
    assert left.fileno() == -1


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("base", [Recorder, BufferedRecorder])
def test_end_of_file_after_an_exit_request(loop: Loop, kind: type[BaseException], base: type[Recorder]) -> None:
    """S0.11, S16.8: the run that follows meets the end of the stream again, for the protocol has not answered yet."""

    class Leaving(base):
        def eof_received(self) -> bool | None:
            super().eof_received()
            if self.names.count("eof") == 1:
                raise kind
            return None

    left, right = unix_pair()
    _, protocol = loop.run_until_complete(loop.create_connection(Leaving, sock=left))
    right.close()
    with pytest.raises(kind):
        loop.run_forever()
    loop.run_until_complete(eventually(lambda: protocol.lost))
    assert protocol.names == ["made", "eof", "eof", "lost"]


@ferroloop_only("asserts in every iteration that there was something to send", "S17.6")
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_end_after_an_exit_request(loop: Loop, kind: type[BaseException]) -> None:
    """S0.11, S17.6: resume_writing is the last call but one of a closing transport, whatever it raises."""
    left, right = unix_pair()
    transport, protocol = loop.run_until_complete(loop.create_connection(failing("resume_writing", kind()), sock=left))
    transport.write(b"x" * 4_000_000)
    transport.close()
    reader = loop.create_task(receive_all(right))
    with pytest.raises(kind):
        loop.run_until_complete(reader)
    assert len(loop.run_until_complete(reader)) == 4_000_000
    assert protocol.lost == [None]
    right.close()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, Boom])
def test_failing_connection_made(loop: Loop, errors: Errors, kind: type[BaseException]) -> None:
    """S3.10, S0.11: a failed callback; the transport goes on."""
    left, right = unix_pair()
    protocol = failing("connection_made", kind())()
    task = loop.create_task(loop.create_connection(lambda: protocol, sock=left))
    if kind is Boom:
        transport, _ = loop.run_until_complete(task)
        assert [context["exception"] for context in errors if "handle" in context]
    else:
        with pytest.raises(kind):
            loop.run_forever()
        transport, _ = loop.run_until_complete(task)
    right.send(b"data")
    loop.run_until_complete(eventually(lambda: protocol.data == b"data"))
    transport.abort()
    turn(loop)
    right.close()


def test_failing_connection_lost(loop: Loop, run: Run, errors: Errors) -> None:
    """S16.22, S3.10: a failed callback; the socket is closed all the same."""

    async def main() -> None:
        async with connection(failing("connection_lost", Boom())) as (transport, _, _):
            fd = transport.get_extra_info("socket").fileno()
            transport.close()
            await asyncio.sleep(0.001)
            assert [type(context["exception"]) for context in errors] == [Boom]
            assert not is_open(fd)

    run(main())


def test_read_error(loop: Loop, run: Run, logged: LogList) -> None:
    """S16.10: an OSError is logged in debug mode only."""

    async def main(debug: bool) -> None:
        loop.set_debug(debug)
        logged.records.clear()
        async with connection() as (_, protocol, peer):
            reset(peer)
            await eventually(lambda: protocol.lost)
            assert isinstance(protocol.lost[0], ConnectionResetError)
        reports = [r for r in logged.records if "Fatal read error" in r.getMessage()]
        assert len(reports) == debug
        if debug:
            assert reports[0].levelno == logging.DEBUG
            assert "Fatal read error on socket transport" in reports[0].getMessage()
            assert reports[0].exc_info

    run(main(False))
    run(main(True))


def test_write_error(loop: Loop, run: Run, errors: Errors) -> None:
    """S16.10: connection lost with the exception, buffer dropped."""

    async def main() -> None:
        async with connection(lambda: Recorder(True)) as (transport, protocol, peer):
            transport.write(b"x" * 4_000_000)
            reset(peer)
            await eventually(lambda: protocol.lost)
            assert isinstance(protocol.lost[0], (ConnectionResetError, BrokenPipeError))
            assert transport.get_write_buffer_size() == 0

    run(main())
    assert errors == []
