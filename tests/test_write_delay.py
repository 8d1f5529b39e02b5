"""S16.14: what callbacks write may leave together, but not much later than it was written."""

import asyncio
import socket
import time
from typing import Any

import pytest
from support.loops import Loop, Run
from support.net import connection, receive, unix_pair
from support.protocols import Recorder

# Far more than ferroloop lets a write wait for other callbacks.
LONG = 0.02


class Leaving(SystemExit):
    """Ends a run."""


def test_slow_callbacks_do_not_hold_a_write_back(loop: Loop, run: Run) -> None:
    """S16.14: it is out before the iteration that made it ends."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            seen = asyncio.get_running_loop().create_future()
            for callback in (lambda: transport.write(b"early"), *[lambda: time.sleep(LONG)] * 2):
                loop.call_soon(callback)
            loop.call_soon(lambda: seen.set_result(peer.recv(100)))
            assert await seen == b"early"

    run(main())


def test_a_callback_that_is_alone_sends_at_once(loop: Loop, run: Run) -> None:
    """S16.14: while it goes on, the peer has what it wrote, callback after callback."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            for _ in range(3):
                await asyncio.sleep(0)
                transport.write(b"x")
                assert peer.recv(100) == b"x"

    run(main())


def test_callbacks_that_write_in_turns(loop: Loop, run: Run) -> None:
    """S16.14: once, twice, three times, and so on, alone and not: all of it arrives, in order."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            pieces = iter([bytes([n]) * n for n in range(1, 100)])
            sent = bytearray()

            def write(times: int) -> None:
                for _ in range(times):
                    piece = next(pieces)
                    sent.extend(piece)
                    transport.write(piece)

            for times in (1, 2, 1, 1, 3, 2, 1):
                await asyncio.sleep(0)
                write(times)
            for times in (2, 1, 1, 2, 3):
                loop.call_soon(write, times)
            await asyncio.sleep(0)
            write(1)
            assert await receive(peer, len(sent)) == sent

    run(main())


def test_callbacks_of_one_iteration_write_in_order(loop: Loop, run: Run) -> None:
    """S16.14: to one connection."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            pieces = [bytes([n]) * n for n in range(1, 50)]
            for piece in pieces:
                loop.call_soon(transport.write, piece)
            everything = b"".join(pieces)
            assert await receive(peer, len(everything)) == everything

    run(main())


@pytest.mark.parametrize("end", ["stop", "exit"])
def test_a_run_ends_after_its_writes(loop: Loop, run: Run, end: str) -> None:
    """S16.14, S2.20: however it ends, and with nobody to run the loop again."""

    def leave() -> None:
        if end == "exit":
            raise Leaving
        loop.stop()

    opened = connection()
    transport, _, peer = loop.run_until_complete(opened.__aenter__())
    loop.call_soon(transport.write, b"farewell")
    loop.call_soon(leave)
    try:
        loop.run_forever()
    except Leaving:
        assert end == "exit"
    assert peer.recv(100) == b"farewell"
    loop.run_until_complete(opened.__aexit__(None, None, None))


def used_to_large_writes(loop: Loop, transport: Any, peer: socket.socket) -> None:
    """Write often and have all of it read, until ferroloop would hold back more than its high-water mark."""
    half = bytes(30_000)

    def write_twice() -> None:
        transport.write(half)
        transport.write(half)

    async def write_and_read() -> None:
        for _ in range(80):
            loop.call_soon(write_twice)
            await receive(peer, 2 * len(half))

    loop.run_until_complete(write_and_read())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_request_between_writes_holds_none_back(loop: Loop, kind: type[BaseException]) -> None:
    """S16.14, S17.5: a writer that is paused ends the run; what went to others is sent all the same."""

    class Impatient(Recorder):
        def pause_writing(self) -> None:
            raise kind("enough")

    opened = [connection(make, unix_pair) for make in (Impatient, Recorder, Recorder)]
    (full, _, reader), *others = [loop.run_until_complete(each.__aenter__()) for each in opened]
    used_to_large_writes(loop, full, reader)

    def write_to_all() -> None:
        full.write(b"first")
        for transport, _, _ in others:
            transport.write(b"farewell")
        for _ in range(9):
            full.write(bytes(100_000))

    loop.call_soon(write_to_all)
    loop.call_soon(lambda: None)  # With a callback to follow, no write is sent at once.
    with pytest.raises(kind, match="enough"):
        loop.run_forever()
    assert [peer.recv(100) for _, _, peer in others] == [b"farewell"] * 2
    for each in opened:
        loop.run_until_complete(each.__aexit__(None, None, None))


def test_written_and_then_waited_for_in_a_thread(loop: Loop, run: Run) -> None:
    """S16.14: a write does not wait for callbacks of later iterations."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            peer.setblocking(True)
            transport.write(b"x")
            assert await loop.run_in_executor(None, peer.recv, 100) == b"x"

    run(main())
