"""`ferroloop-futures`: what Rust's extension modules have Python await, on any asyncio loop.

The module is the crate's example, futures/examples/rust_coroutines.rs.
"""

import asyncio
import collections.abc
import contextvars
import gc
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rust_coroutines
from support.gates import since
from support.log import LogList
from support.loops import NewLoop, Run
from support.scripts import Script
from support.turns import turn

RunScript = Callable[..., Script]
name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="unset")

# A coroutine like any other


def test_kind() -> None:
    """For asyncio.run, create_task and whoever asks; nothing happens before it is awaited."""
    coroutine = rust_coroutines.nap(0)
    assert isinstance(coroutine, collections.abc.Coroutine)
    assert asyncio.iscoroutine(coroutine)
    assert (coroutine.__name__, coroutine.__qualname__) == ("nap", "nap")


def test_what_is_ready_takes_one_step(run: Run) -> None:
    """No iteration of the loop lies in between."""

    async def main() -> None:
        with pytest.raises(StopIteration) as stopped:
            rust_coroutines.answer().send(None)
        assert stopped.value.value == 42
        assert await rust_coroutines.answer() == 42

    run(main())


def test_tasks(run: Run) -> None:
    """Alone, gathered, in a group, with a timeout; several wait at once."""

    async def main() -> None:
        started = time.monotonic()
        assert await asyncio.create_task(rust_coroutines.nap(0.05)) == "rested"
        assert await asyncio.gather(*(rust_coroutines.nap(0.05) for _ in range(100))) == ["rested"] * 100
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(rust_coroutines.nap(0.05)) for _ in range(100)]
        assert [task.result() for task in tasks] == ["rested"] * 100
        assert 0.15 <= time.monotonic() - started < 3
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rust_coroutines.nap(100), 0.01)

    run(main())


@since(3, 12)
def test_eager_tasks(loop: asyncio.AbstractEventLoop, run: Run) -> None:
    """Their first step is taken at once."""

    async def main() -> None:
        loop.set_task_factory(asyncio.eager_task_factory)
        assert asyncio.ensure_future(rust_coroutines.answer()).done()
        assert await asyncio.ensure_future(rust_coroutines.nap(0)) == "rested"
        loop.set_task_factory(None)

    run(main())


def test_a_task_shows_its_name(run: Run) -> None:
    """And what it waits for."""

    async def main() -> None:
        task = asyncio.create_task(rust_coroutines.nap(100))
        await asyncio.sleep(0)
        assert "coro=<nap()> wait_for=<Future pending" in repr(task)
        task.cancel()

    run(main())


def test_errors(run: Run) -> None:
    """An `Err` is raised where it is awaited."""

    async def main() -> None:
        with pytest.raises(ValueError, match="value is negative"):
            await rust_coroutines.nap(-1)

    run(main())


@pytest.mark.parametrize("end", ["awaited", "closed", "thrown into"])
def test_it_ends_once(end: str, run: Run) -> None:
    """As a coroutine of Python's does, with its words."""

    async def python() -> int:
        return 42

    async def main(coroutine: Any) -> None:
        if end == "awaited":
            assert await coroutine == 42
        elif end == "closed":
            coroutine.close()
        else:
            with pytest.raises(KeyError):
                coroutine.throw(KeyError("thrown"))
        for reuse in (lambda: coroutine.send(None), lambda: coroutine.throw(KeyError())):
            with pytest.raises(RuntimeError, match=r"^cannot reuse already awaited coroutine$"):
                reuse()
        coroutine.close()

    run(main(python()))
    run(main(rust_coroutines.answer()))


def test_without_a_loop() -> None:
    """It says what asyncio says."""
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        rust_coroutines.nap(0).send(None)


def test_it_stays_in_its_thread(run: Run) -> None:
    """Another thread cannot take a step, and does not spoil it."""

    async def main() -> None:
        coroutine = rust_coroutines.turns(1)
        assert coroutine.send(None) is None
        with pytest.raises(RuntimeError, match=r"^a Rust coroutine stays in its thread$"):
            await asyncio.to_thread(coroutine.send, None)
        with pytest.raises(StopIteration):
            coroutine.send(None)

    run(main())


def test_it_begins_where_it_is_awaited(loop: asyncio.AbstractEventLoop) -> None:
    """Made in one thread, run in another's loop."""
    made = rust_coroutines.nap(0.001)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        assert asyncio.run_coroutine_threadsafe(made, loop).result(10) == "rested"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def test_others_have_their_turns(loop: asyncio.AbstractEventLoop) -> None:
    """S4.6: who wakes itself goes to the end of the queue."""
    order: list[str] = []

    async def python(count: int) -> None:
        for _ in range(count):
            order.append("python")
            await asyncio.sleep(0)

    rust = loop.create_task(rust_coroutines.turns(3))
    rust.add_done_callback(lambda _: order.append("rust"))
    others = loop.create_task(python(3))
    turn(loop, 6)
    assert (rust.result(), others.done()) == (3, True)
    assert order == ["python", "python", "python", "rust"]


def test_context(run: Run) -> None:
    """What Python runs for it sees the variables of its task."""

    async def python() -> str:
        return name.get()

    async def main() -> None:
        name.set("of the task")
        assert await asyncio.create_task(rust_coroutines.within(10, python())) == "of the task"

    run(main())


def test_forgotten_tasks_are_collected(loop: asyncio.AbstractEventLoop, logged: LogList) -> None:
    """A waker keeps no task, so asyncio can tell of one that nobody keeps."""
    loop.create_task(rust_coroutines.forever())
    turn(loop)
    gc.collect()
    assert [text for text in logged.texts() if "Task was destroyed but it is pending!" in text]


def test_loops_in_a_row(new_loop: NewLoop) -> None:
    """Each has a mailbox of its own; the fixture sees that no descriptor is left."""
    for _ in range(3):
        loop = new_loop()
        assert loop.run_until_complete(rust_coroutines.sum_of_squares(10)) == 285
        loop.close()


# Time


class TimerLoop:
    """Keeps the timers that are set."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.timers: list[asyncio.TimerHandle] = []

    def call_later(self, *arguments: Any, **keywords: Any) -> asyncio.TimerHandle:
        timer = super().call_later(*arguments, **keywords)  # type: ignore[misc]
        self.timers.append(timer)
        return timer


def test_a_cancelled_nap_leaves_no_timer(loop_class: type) -> None:
    """The future is dropped at once, with all it holds."""
    loop = type("Loop", (TimerLoop, loop_class), {})()
    try:
        task = loop.create_task(rust_coroutines.naps(3, 100))
        turn(loop)
        assert [timer.cancelled() for timer in loop.timers] == [False] * 3
        task.cancel()
        turn(loop, 2)
        assert task.cancelled()
        assert [timer.cancelled() for timer in loop.timers] == [True] * 3
    finally:
        loop.close()


def test_many_naps_of_one_task(run: Run) -> None:
    """`join_all` and the like work as they are."""
    assert run(rust_coroutines.naps(1000, 0.01)) == 1000


# Threads


def test_woken_by_a_thread(run: Run) -> None:
    """One at a time, and many at once."""

    async def main() -> None:
        assert await rust_coroutines.sum_of_squares(1000) == 332833500
        sums = await asyncio.gather(*(rust_coroutines.sum_of_squares(limit) for limit in range(50)))
        assert sums == [sum(number * number for number in range(limit)) for limit in range(50)]

    run(main())


def test_woken_after_the_end(run_script: RunScript) -> None:
    """A thread that is late harms nobody: neither a loop that is gone nor an interpreter that ends."""
    done = run_script("""
        import asyncio
        import gc
        import rust_coroutines

        LATE = 100_000_000

        async def forget():
            task = asyncio.create_task(rust_coroutines.sum_of_squares(LATE))
            await asyncio.sleep(0)
            task.cancel()

        for _ in range(2):
            loop = new_event_loop()
            loop.run_until_complete(forget())
            loop.close()
            del loop
            gc.collect()

            loop = new_event_loop()
            print(loop.run_until_complete(rust_coroutines.sum_of_squares(LATE)))
            loop.close()

        loop = new_event_loop()
        loop.run_until_complete(forget())
        loop.close()
    """)
    assert (done.out, done.err) == ("333333328333333350000000\n" * 2, "")


# Descriptors


def test_a_socket(loop: asyncio.AbstractEventLoop, run: Run, tmp_path: Path) -> None:
    """More than the kernel takes at once, both ways, while others are served."""
    path = tmp_path / "socket"
    data = bytes(range(256)) * 8192

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read())[::-1])
        writer.close()

    async def main() -> None:
        server = await asyncio.start_unix_server(answer, path)
        async with server:
            answers = await asyncio.gather(*(rust_coroutines.ask(path, data) for _ in range(5)))
            assert [bytes(answer) == data[::-1] for answer in answers] == [True] * 5

    run(main())


def test_a_cancelled_wait_watches_nothing(loop: asyncio.AbstractEventLoop, run: Run, tmp_path: Path) -> None:
    """The socket is closed; its number can be watched by whoever gets it next."""
    path = str(tmp_path / "socket")

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen()
            listening.setblocking(False)
            task = asyncio.create_task(rust_coroutines.ask(path, b"question"))
            peer, _ = await loop.sock_accept(listening)
            with peer:
                assert await loop.sock_recv(peer, 100) == b"question"
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await loop.sock_recv(peer, 100) == b""

    run(main())


def test_errors_of_the_system(run: Run, tmp_path: Path) -> None:
    """They are the exceptions that Python has for them."""
    with pytest.raises(FileNotFoundError):
        run(rust_coroutines.ask(tmp_path / "nothing", b""))


# What Python can await


def test_python_awaited_by_rust(loop: asyncio.AbstractEventLoop, run: Run) -> None:
    """Coroutines, futures and tasks; results and errors, the very objects."""
    result, error = object(), KeyError("raised")

    async def give() -> object:
        await asyncio.sleep(0)
        return result

    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    async def main() -> None:
        done = loop.create_future()
        done.set_result(result)
        for awaitable in give(), done, asyncio.create_task(give()), rust_coroutines.within(10, give()):
            assert await rust_coroutines.within(10, awaitable) is result
        with pytest.raises(KeyError) as raised:
            await rust_coroutines.within(10, fail())
        assert raised.value is error

    run(main())


def test_what_cannot_be_awaited(run: Run) -> None:
    """As `asyncio.ensure_future` says it."""

    async def main() -> None:
        with pytest.raises(TypeError) as expected:
            await asyncio.ensure_future(5)  # type: ignore[arg-type]
        with pytest.raises(TypeError) as raised:
            await rust_coroutines.within(10, 5)
        assert str(raised.value) == str(expected.value)

    run(main())


@pytest.mark.parametrize("end", ["timeout", "cancelled"])
def test_what_nobody_waits_for_any_more_is_cancelled(end: str, run: Run) -> None:
    """A timeout in Rust, or the task's own cancellation, drops the future."""
    cancelled = []

    async def sleep() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main() -> None:
        task = asyncio.create_task(rust_coroutines.within(0.01 if end == "timeout" else 100, sleep()))
        if end == "timeout":
            with pytest.raises(TimeoutError, match="it took too long"):
                await task
        else:
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(0)
        assert cancelled == [True]

    run(main())


def test_the_cancelled_say_so(loop: asyncio.AbstractEventLoop, run: Run) -> None:
    """A future that somebody else cancels."""

    async def main() -> None:
        future = loop.create_future()
        loop.call_soon(future.cancel)
        with pytest.raises(asyncio.CancelledError):
            await rust_coroutines.within(10, future)

    run(main())
