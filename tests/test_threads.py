"""Loops and threads: several loops at once, a loop that changes threads, no thread of its own."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import linux_only
from support.loops import Loop, NewLoop
from support.net import unix_pair
from support.protocols import Recorder
from support.scripts import Script
from support.turns import turn


def in_thread(work: Callable[[], Any]) -> Any:
    """The result of the function, run in a thread of its own."""
    box: list[Any] = []

    def target() -> None:
        try:
            box.append(work())
        except BaseException as exc:
            box.append(exc)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    if isinstance(box[0], BaseException):
        raise box[0]
    return box[0]


def test_loops_in_several_threads(new_loop: NewLoop) -> None:
    """S2.5, S58.1: each with timers, wakeups and a connection of its own."""
    count = 4
    loops = [new_loop() for _ in range(count)]
    results: list[bytes] = []

    async def main(n: int) -> bytes:
        assert asyncio.get_running_loop() is loops[n]
        left, right = unix_pair()
        transport, protocol = await loops[n].create_connection(Recorder, sock=left)
        other = loops[(n + 1) % count]
        for _ in range(50):
            right.send(bytes([n]))
            other.call_soon_threadsafe(len, ())
            await asyncio.sleep(0.0005)
        while len(protocol.data) < 50:
            await asyncio.sleep(0.001)
        transport.close()
        right.close()
        await asyncio.sleep(0.001)
        return protocol.data

    threads = [
        threading.Thread(target=lambda n=n: results.append(loops[n].run_until_complete(main(n)))) for n in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(results) == [bytes([n]) * 50 for n in range(count)]


def test_made_here_run_there(loop: Loop) -> None:
    """S2.5: what was queued here runs there, and back again."""
    seen: list[int] = []
    loop.call_soon(lambda: seen.append(threading.get_ident()))
    loop.call_later(0, lambda: seen.append(threading.get_ident()))

    def run_there() -> int:
        turn(loop)
        return threading.get_ident()

    there = in_thread(run_there)
    assert seen == [there, there]
    loop.call_soon(lambda: seen.append(threading.get_ident()))
    turn(loop)
    assert seen[2] == threading.get_ident()


def test_closed_in_another_thread(loop: Loop) -> None:
    """S2.21."""
    left, right = unix_pair()
    loop.add_reader(left, print)
    loop.call_later(9, print)
    in_thread(loop.close)
    assert loop.is_closed()
    left.close()
    right.close()


def test_dropped_in_another_thread(new_loop: NewLoop, loop_class: type) -> None:
    """S1.8: deallocation, with callbacks in it, needs no particular thread."""
    loop = loop_class()
    box = [loop]
    loop.call_soon(print, object())
    loop.close()
    ref = weakref.ref(loop)
    del loop
    in_thread(box.clear)
    gc.collect()
    assert ref() is None


def test_handles_are_cancelled_from_other_threads(loop: Loop) -> None:
    """S3.1: not promised to be safe for call_soon, but never a crash."""
    seen: list[int] = []
    handles = [loop.call_soon(seen.append, n) for n in range(100)]
    timers = [loop.call_later(0, seen.append, n) for n in range(100)]
    in_thread(lambda: [handle.cancel() for handle in (*handles, *timers)])
    turn(loop, 2)
    assert seen == []


def test_run_coroutine_threadsafe(loop: Loop) -> None:
    """S6.1: results and exceptions cross threads."""

    async def half(n: int) -> float:
        await asyncio.sleep(0)
        return 1 / n

    def client() -> list[Any]:
        results: list[Any] = []
        for n in (2, 0):
            future = asyncio.run_coroutine_threadsafe(half(n), loop)
            try:
                results.append(future.result(5))
            except ZeroDivisionError as exc:
                results.append(type(exc))
        return results

    async def main() -> Any:
        return await asyncio.to_thread(client)

    assert loop.run_until_complete(main()) == [0.5, ZeroDivisionError]


def test_run_coroutine_threadsafe_with_a_failing_factory(loop: Loop, errors: list[dict[str, Any]]) -> None:
    """S6.1, S10.5: a factory of the oldest kind that raises is told to the caller, and once to the loop."""

    def factory(loop: Loop, coro: Any) -> Any:
        coro.close()
        raise LookupError("mine")

    def client() -> Any:
        return asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(5)

    asking = loop.run_in_executor(None, client)
    loop.set_task_factory(factory)
    with pytest.raises(LookupError, match=r"^mine$") as caught:
        loop.run_until_complete(asking)
    assert [context["exception"] for context in errors] == [caught.value]


def test_stop_of_a_loop_in_another_thread(new_loop: NewLoop) -> None:
    """S2.11, S6.1: the way asyncio's documentation says."""
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    while not loop.is_running():
        pass
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    assert not thread.is_alive()
    assert not loop.is_running()


@linux_only
def test_no_thread_of_its_own(run_script: Callable[..., Script]) -> None:
    """S13.3: timers, connections and wakeups need none, and none is left after close()."""
    run_script(
        """
        import asyncio, os
        def threads():
            return len(os.listdir("/proc/self/task"))
        before = threads()
        async def main():
            async def handler(reader, writer):
                writer.write(await reader.read(10))
                writer.close()
            server = await asyncio.start_server(handler, "127.0.0.1", 0)
            async with server:
                address = server.sockets[0].getsockname()
                reader, writer = await asyncio.open_connection(*address)
                writer.write(b"x")
                writer.write_eof()
                assert await reader.read() == b"x"
                writer.close()
                await asyncio.sleep(0.01)
                assert threads() == before, threads()
        loop = new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        assert threads() == before
        """
    )
