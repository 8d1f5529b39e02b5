"""S25: how the sock_* calls wait, and how waits end."""

import asyncio
import socket
import time

import pytest
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import connection, eventually, receive, unix_pair
from support.sock import RECEIVING, each, fill
from support.turns import turn

Pair = tuple[socket.socket, socket.socket]


def test_both_directions(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.1: a receiver and a sender may wait for the same socket."""
    left, right = pair
    filled = fill(left)

    async def main() -> None:
        receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
        sending = asyncio.ensure_future(loop.sock_sendall(left, b"data"))
        await asyncio.sleep(0.002)
        assert not receiving.done()
        assert not sending.done()
        right.send(b"answer")
        assert await receiving == b"answer"
        assert not sending.done()
        assert await receive(right, filled + 4) == b"x" * filled + b"data"
        await sending

    run(main())


@pytest.mark.parametrize("name", each(RECEIVING))
def test_transport_owns_the_descriptor(loop: Loop, run: Run, name: str) -> None:
    """S25.4: an error as soon as it has to wait, not before."""

    async def main() -> None:
        async with connection() as (transport, _, peer):
            transport.pause_reading()
            sock = socket.socket(fileno=transport.get_extra_info("socket").fileno())
            try:
                peer.send(b"data")
                await asyncio.sleep(0.002)
                result = await RECEIVING[name](loop, sock)
                assert (result[0] if isinstance(result, tuple) else result) in (b"data", 4)
                text = f"File descriptor {sock.fileno()} is used by transport"
                with pytest.raises(RuntimeError, match=text):
                    await RECEIVING[name](loop, sock)
            finally:
                sock.detach()

    run(main())


@pytest.mark.parametrize("name", each(RECEIVING))
def test_cancelled_receive(loop: Loop, run: Run, pair: Pair, name: str) -> None:
    """S25.5: no watcher is left, and the descriptor can be used again at once."""
    left, right = pair

    async def main() -> None:
        receiving = asyncio.ensure_future(RECEIVING[name](loop, left))
        await asyncio.sleep(0)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        await asyncio.sleep(0)
        assert not loop.remove_reader(left)
        right.send(b"data")
        assert await loop.sock_recv(left, 100) == b"data"

    run(main())


def test_cancelled_send(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.5."""
    left, right = pair
    filled = fill(left)

    async def main() -> None:
        sending = asyncio.ensure_future(loop.sock_sendall(left, b"never"))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.sleep(0)
        assert not loop.remove_writer(left)
        assert await receive(right, filled) == b"x" * filled
        await loop.sock_sendall(left, b"data")
        assert await receive(right, 4) == b"data"

    run(main())


@ferroloop_only("the loop has read the data already, and drops it", "S25.5")
@pytest.mark.parametrize("name", RECEIVING)
def test_cancelled_just_before_the_result(loop: Loop, pair: Pair, name: str) -> None:
    """S25.5: at whatever step, the data is still there."""
    left, right = pair
    for turns in range(4):
        task = loop.create_task(RECEIVING[name](loop, left))
        turn(loop)
        right.send(b"data")
        turn(loop, turns)
        if task.done():
            assert task.exception() is None
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        assert left.recv(100) == b"data"
    else:
        pytest.fail("it never received anything")


@ferroloop_only("leaves the watcher", "S25.13")
@pytest.mark.parametrize("name", RECEIVING)
def test_destroyed_while_waiting(loop: Loop, run: Run, pair: Pair, name: str) -> None:
    """S25.13: a coroutine that is closed takes its watcher along."""

    async def main() -> None:
        coro = RECEIVING[name](loop, pair[0])
        coro.send(None)
        coro.close()
        assert not loop.remove_reader(pair[0])

    run(main())


def test_overlapping_waits(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.6: the second call takes the place of the first, whose cancellation then changes nothing."""
    left, right = pair

    async def main() -> None:
        first = asyncio.ensure_future(loop.sock_recv(left, 100))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(loop.sock_recv(left, 100))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await asyncio.sleep(0)
        right.send(b"data")
        assert await second == b"data"

    run(main())


def test_overlapping_sends(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.6."""
    left, right = pair
    filled = fill(left)

    async def main() -> None:
        first = asyncio.ensure_future(loop.sock_sendall(left, b"first"))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(loop.sock_sendall(left, b"second"))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await asyncio.sleep(0)
        assert await receive(right, filled + 6) == b"x" * filled + b"second"
        await second

    run(main())


def test_callback_takes_the_place(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.6: of a wait, and a wait that of a callback."""
    left, right = pair
    seen: list[str] = []

    async def main() -> None:
        receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
        await asyncio.sleep(0)
        loop.add_reader(left, seen.append, "callback")
        right.send(b"data")
        await eventually(lambda: seen)
        assert not receiving.done()
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        await asyncio.sleep(0)
        assert loop.remove_reader(left)
        loop.add_reader(left, seen.append, "again")
        left.recv(100)
        receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
        await asyncio.sleep(0)
        seen.clear()
        right.send(b"more")
        assert await receiving == b"more"
        assert seen == []
        assert not loop.remove_reader(left)

    run(main())


def test_callback_for_the_other_side(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.6: writers are not concerned by a wait for reading."""
    left, right = pair
    seen: list[str] = []

    async def main() -> None:
        for _ in range(3):
            receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
            await asyncio.sleep(0)
            loop.add_writer(left, seen.append, "writable")
            await eventually(lambda: seen)
            assert not receiving.done()
            right.send(b"data")
            assert await receiving == b"data"
            seen.clear()
            await eventually(lambda: seen)
            assert loop.remove_writer(left)
            seen.clear()
            await asyncio.sleep(0.002)
            assert seen == []

    run(main())


def test_many_waits_in_a_row(loop: Loop, run: Run, pair: Pair) -> None:
    """S25.1: each wait hears of its own data, and what is not waited for wakes nobody."""
    left, right = pair

    async def main() -> None:
        for n in range(50):
            receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
            await asyncio.sleep(0)
            right.send(b"%d" % n)
            assert await receiving == b"%d" % n
            right.send(b"unexpected")
            await asyncio.sleep(0.001)
            assert left.recv(100) == b"unexpected"

    run(main())


def test_idle_after_a_wait(loop: Loop, pair: Pair) -> None:
    """S25.13: data nobody asks for does not keep the loop busy."""
    left, right = pair
    task = loop.create_task(loop.sock_recv(left, 1))
    turn(loop)
    right.send(b"xy")
    assert loop.run_until_complete(task) == b"x"
    used = time.thread_time()
    loop.run_until_complete(asyncio.sleep(0.2))
    assert time.thread_time() - used < 0.1


@pytest.mark.parametrize("then", ["recv", "transport", "reader"])
def test_reused_number(loop: Loop, run: Run, then: str) -> None:
    """S25.5, S7.8: a socket closed after its calls leaves its number free for another."""

    async def main() -> None:
        for _ in range(3):
            left, right = unix_pair()
            fd = left.fileno()
            receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
            await asyncio.sleep(0)
            right.send(b"data")
            assert await receiving == b"data"
            left.close()
            right.close()
            left, right = unix_pair()
            assert left.fileno() == fd
            if then == "recv":
                receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
                await asyncio.sleep(0)
                right.send(b"data")
                assert await receiving == b"data"
            elif then == "reader":
                ready = asyncio.Event()
                loop.add_reader(left, ready.set)
                await asyncio.sleep(0)
                right.send(b"data")
                await ready.wait()
                loop.remove_reader(left)
            else:
                reader, writer = await asyncio.open_connection(sock=left)
                right.send(b"data")
                assert await reader.read(100) == b"data"
                writer.close()
                await writer.wait_closed()
            left.close()
            right.close()

    run(main())


@ferroloop_only("does not notice the new owner of the number", "S7.8")
def test_closed_while_waiting(loop: Loop, run: Run) -> None:
    """S25.5: the wait has no end but cancellation, which is then harmless to a new owner of the number."""

    async def main() -> None:
        left, right = unix_pair()
        fd = left.fileno()
        receiving = asyncio.ensure_future(loop.sock_recv(left, 100))
        await asyncio.sleep(0)
        left.close()
        right.close()
        new, peer = unix_pair()
        assert new.fileno() == fd
        second = asyncio.ensure_future(loop.sock_recv(new, 100))
        await asyncio.sleep(0)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        await asyncio.sleep(0)
        peer.send(b"data")
        assert await second == b"data"
        new.close()
        peer.close()

    run(main())


def test_closed_loop(loop: Loop, pair: Pair) -> None:
    """S25.4: nothing can be waited for."""
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.sock_recv(pair[0], 1).send(None)
