"""S16.14: what callbacks write may leave together, but not much later than it was written."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.loops import Loop
from support.net import connection, receive

Run = Callable[..., Any]

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


def test_written_and_then_waited_for_in_a_thread(loop: Loop, run: Run) -> None:
    """S16.14: a write does not wait for callbacks of later iterations."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            peer.setblocking(True)
            transport.write(b"x")
            assert await loop.run_in_executor(None, peer.recv, 100) == b"x"

    run(main())
