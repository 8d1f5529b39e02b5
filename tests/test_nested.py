"""Nested runs, `loop.run_nested`: synchronous code that the loop is running has it run on (S2.12-S2.21, S4.9)."""

import asyncio
import contextlib
import contextvars
import gc
import importlib
import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import ferroloop_only, since
from support.log import SLOW, LogList
from support.loops import NewLoop, Run
from support.net import connection, eventually, receive, unix_pair
from support.scripts import Script
from support.tls import tls_connection

pytestmark = ferroloop_only("asyncio's loops cannot be nested", spec="S2.3")

RunScript = Callable[..., Script]
name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="unset")


class Boom(Exception):
    """Raised by tests."""


async def fail(exception: BaseException) -> None:
    """End with this exception, and not in the first step."""
    await asyncio.sleep(0)
    raise exception


# What it takes, and what it gives back


class Awaitable:
    """An awaitable that is neither coroutine nor future."""

    def __await__(self) -> Any:
        yield from asyncio.sleep(0.001).__await__()
        return "awaited"


def test_results(loop: Any, run: Run) -> None:
    """S2.12, S2.14: of whatever can be awaited, done or not."""

    async def main() -> None:
        future = loop.create_future()
        loop.call_later(0.001, future.set_result, "set")
        assert loop.run_nested(future) == "set"
        assert loop.run_nested(future) == "set"
        assert loop.run_nested(asyncio.sleep(0.001, "slept")) == "slept"
        assert loop.run_nested(asyncio.create_task(asyncio.sleep(0, "done"))) == "done"
        assert loop.run_nested(Awaitable()) == "awaited"

    run(main())


def test_exceptions(loop: Any, run: Run, logged: LogList) -> None:
    """S2.14, S2.19: raised in the caller, and in no log."""

    class Odd(BaseException):
        pass

    async def main() -> None:
        for kind in Boom, Odd, asyncio.CancelledError:
            with pytest.raises(kind):
                loop.run_nested(fail(kind()))

    run(main())
    gc.collect()
    assert logged.texts(logging.ERROR) == []


def test_failure_leaves_no_cycle(loop: Any, run: Run) -> None:
    """A caught exception is gone with all that it has come through, and so is one that ends the caller."""

    async def raise_boom() -> None:
        raise Boom

    async def catch() -> weakref.ref[BaseException]:
        try:
            loop.run_nested(raise_boom())
        except Boom as exc:
            return weakref.ref(exc)
        raise AssertionError

    async def pass_on() -> None:
        loop.run_nested(raise_boom())

    async def main() -> None:
        assert (await catch())() is None
        task = asyncio.create_task(pass_on())
        await asyncio.wait([task])
        exception = weakref.ref(task.exception())
        del task
        await asyncio.sleep(0)
        assert exception() is None

    gc.collect()
    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_wrong_arguments(loop: Any, new_loop: NewLoop, run: Run) -> None:
    """S2.12, S2.13; and no task waits for itself."""

    async def main() -> None:
        with pytest.raises(TypeError, match=r"^An asyncio\.Future, a coroutine or an awaitable is required$"):
            loop.run_nested(42)
        text = r"^The future belongs to a different loop than the one specified as the loop argument$"
        with pytest.raises(ValueError, match=text):
            loop.run_nested(asyncio.Future(loop=new_loop()))
        task = asyncio.current_task()
        with pytest.raises(RuntimeError, match=r"^Task cannot await on itself: <Task pending"):
            loop.run_nested(task)
        assert asyncio.current_task() is task

    run(main())


def test_where_it_can_be_called(loop: Any, new_loop: NewLoop, run: Run) -> None:
    """Only where this very loop is running: nothing has changed after the error."""
    future = loop.create_future()
    with pytest.raises(RuntimeError, match=r"^This event loop is not running$"):
        loop.run_nested(future)

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"^This event loop is not the one that runs in this thread$"):
            await asyncio.to_thread(loop.run_nested, future)
        with pytest.raises(RuntimeError, match=r"^This event loop is not running$"):
            new_loop().run_nested(future)
        assert asyncio.get_running_loop() is loop

    run(main())
    closed = new_loop()
    closed.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        closed.run_nested(future)


def test_option(loop: Any, run: Run) -> None:
    """S2.3: run_until_complete nests only if it was told to."""
    assert loop.get_nested() is False

    async def main() -> None:
        future = loop.create_future()
        with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
            loop.run_until_complete(future)
        loop.set_nested(True)
        assert loop.get_nested() is True
        assert loop.run_until_complete(asyncio.sleep(0.001, "slept")) == "slept"
        with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
            await asyncio.to_thread(loop.run_until_complete, future)
        with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
            loop.run_forever()
        loop.set_nested(False)
        with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
            loop.run_until_complete(future)

    run(main())


def test_another_loop_is_not_nested(loop: Any, new_loop: NewLoop, run: Run) -> None:
    """S2.3: the option is for runs of the loop that is running."""
    other: Any = new_loop()
    other.set_nested(True)

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"^Cannot run the event loop while another loop is running$"):
            other.run_until_complete(other.create_future())

    run(main())


# The caller, and everybody else


@pytest.mark.parametrize("outcome", [None, Boom()])
def test_current_task(loop: Any, run: Run, outcome: BaseException | None) -> None:
    """None runs while the caller waits, but the others' steps; afterwards it is the caller again."""
    seen: list[Any] = []

    async def nested() -> None:
        loop.call_soon(lambda: seen.append(asyncio.current_task()))
        await asyncio.sleep(0.001)
        seen.append(asyncio.current_task())
        if outcome is not None:
            raise outcome

    async def main() -> None:
        caller = asyncio.current_task()
        task = asyncio.create_task(nested())
        with contextlib.suppress(Boom):
            loop.run_nested(task)
        assert seen == [None, task]
        assert asyncio.current_task() is caller
        await asyncio.sleep(0)
        assert asyncio.current_task() is caller

    run(main())


def test_callback_without_a_task(loop: Any) -> None:
    """Callbacks may call it as well."""
    seen: list[Any] = []

    def callback() -> None:
        seen.append(loop.run_nested(asyncio.sleep(0.001, "slept")))
        seen.append(asyncio.current_task(loop))
        loop.stop()

    loop.call_soon(callback)
    loop.run_forever()
    assert seen == ["slept", None]


@since(3, 12)
def test_eager_tasks(loop: Any, run: Run) -> None:
    """A task that nests in its first step, which is inside a step of another one."""

    async def eager() -> str:
        own = asyncio.current_task()
        loop.run_nested(asyncio.sleep(0.001))
        assert asyncio.current_task() is own
        return "eager"

    async def main() -> None:
        caller = asyncio.current_task()
        assert await asyncio.create_task(eager()) == "eager"
        assert loop.run_nested(eager()) == "eager"
        assert asyncio.current_task() is caller

    loop.set_task_factory(asyncio.eager_task_factory)
    run(main())


def test_context(loop: Any, run: Run) -> None:
    """A nested task has a copy of the caller's context; the caller's own is as it was."""

    async def nested() -> str:
        seen = name.get()
        name.set("nested")
        await asyncio.sleep(0.001)
        return seen + name.get()

    async def main() -> None:
        name.set("caller")
        assert loop.run_nested(nested()) == "callernested"
        assert name.get() == "caller"
        await asyncio.sleep(0)
        assert name.get() == "caller"

    run(main())


def test_tasks_that_share_the_callers_context(loop: Any, run: Run) -> None:
    """It is entered while the caller waits: their steps are not lost, and see what was set before."""
    context = contextvars.Context()

    async def sharing() -> str:
        await asyncio.sleep(0.001)
        return name.get()

    async def caller() -> str:
        name.set("shared")
        return str(loop.run_nested(asyncio.create_task(sharing(), context=context)))

    async def main() -> None:
        assert await asyncio.create_task(caller(), context=context) == "shared"
        with pytest.raises(RuntimeError, match="is already entered"):
            context.run(context.run, int)

    run(main())


def test_everything_else_goes_on(loop: Any, run: Run) -> None:
    """Timers, callbacks of threads, and tasks that began before."""
    done: list[str] = []

    async def other() -> None:
        for _ in range(3):
            await asyncio.sleep(0.001)
        done.append("task")

    async def all_done() -> None:
        await eventually(lambda: len(done) == 3)

    async def main() -> None:
        task = asyncio.create_task(other())
        loop.call_later(0.001, done.append, "timer")
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(done.append, "thread"))
        thread.start()
        loop.run_nested(all_done())
        assert sorted(done) == ["task", "thread", "timer"]
        assert task.done()
        thread.join()

    run(main())


def test_cancelled_caller(loop: Any, run: Run) -> None:
    """A cancellation waits for the end of the nested run, and comes with the next await."""
    done: list[str] = []

    async def caller() -> None:
        loop.run_nested(asyncio.sleep(0.01))
        done.append("nested")
        await asyncio.sleep(60)
        done.append("never")

    async def main() -> None:
        task = asyncio.create_task(caller())
        loop.call_later(0.001, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done == ["nested"]

    run(main())


# What is written


def test_request_and_answer(loop: Any, run: Run) -> None:
    """What the caller has written is sent before it waits."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for number in range(20):
            # Also by a callback that no other follows, after ones with one write each, and after others.
            for _ in range(number % 3):
                writer.write(b"request %02d" % number)
                assert loop.run_nested(reader.readexactly(10)) == b"request %02d" % number
            writer.write(b"req")
            writer.write(b"uest %02d" % number)
            assert loop.run_nested(reader.readexactly(10)) == b"request %02d" % number
            await asyncio.sleep(0)
        writer.close()
        server.close()
        await writer.wait_closed()

    run(main())


def test_request_and_answer_over_tls(loop: Any, run: Run) -> None:
    """The same for records."""

    async def main() -> None:
        async with tls_connection() as (transport, _, peer):
            transport.write(b"request")
            assert loop.run_nested(peer.receive(7)) == b"request"

    run(main())


def test_writes_afterwards_leave_together(loop: Any, run: Run) -> None:
    """The callback goes on as it began: what it writes then is sent when it ends."""

    async def main() -> None:
        async with connection(pair=unix_pair) as (transport, _, peer):
            await asyncio.sleep(0)
            transport.write(b"a")
            loop.run_nested(asyncio.sleep(0.001))
            assert peer.recv(10) == b"a"
            transport.write(b"b")
            transport.write(b"c")
            with pytest.raises(BlockingIOError):
                peer.recv(10)
            assert await receive(peer, 2) == b"bc"

    run(main())


class Nester(asyncio.Protocol):
    """Waits in `data_received` until its own connection has brought what comes next."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.data: list[bytes] = []
        self.more = loop.create_future()

    def data_received(self, data: bytes) -> None:
        self.data.append(data)
        if data == b"first":
            self.loop.run_nested(self.more)
        elif not self.more.done():
            self.more.set_result(None)
        self.data.append(b"after " + data)


def test_protocol_that_nests(loop: Any, run: Run) -> None:
    """Its connection's next event comes to it all the same, inside."""

    async def main() -> None:
        async with connection(lambda: Nester(loop)) as (_, protocol, peer):
            peer.send(b"first")
            loop.call_later(0.01, peer.send, b"second")
            await eventually(lambda: len(protocol.data) == 4)
            assert protocol.data == [b"first", b"second", b"after second", b"after first"]

    run(main())


@pytest.mark.tls_engines
def test_protocol_that_nests_over_tls(loop: Any, run: Run) -> None:
    """The same for records, small and large."""
    rest = b"0123456789" * 10_000

    async def main() -> None:
        async with tls_connection(lambda: Nester(loop)) as (transport, protocol, peer):

            def received() -> bytes:
                return b"".join(data for data in protocol.data if not data.startswith(b"after "))

            await peer.send(b"first")
            await eventually(lambda: protocol.data)
            await peer.send(rest)
            await eventually(lambda: b"after first" in protocol.data and len(received()) == len(b"first" + rest))
            assert received() == b"first" + rest
            assert not transport.is_closing()

    run(main())


def test_reader_that_nests(loop: Any, run: Run, pair: Any) -> None:
    """So does an event for the same callback of `add_reader`."""
    left, right = pair
    seen: list[bytes] = []
    more = loop.create_future()

    def read() -> None:
        seen.append(left.recv(1))
        if len(seen) == 1:
            right.send(b"2")
            loop.run_nested(more)
            seen.append(b"3")
        else:
            more.set_result(None)

    async def main() -> None:
        loop.add_reader(left, read)
        right.send(b"1")
        await eventually(lambda: len(seen) == 3)
        loop.remove_reader(left)
        assert seen == [b"1", b"2", b"3"]

    run(main())


# The order of things


def test_order(loop: Any) -> None:
    """S4.9: what the interrupted batch had counted runs in the nested one, once, and what follows comes after it."""
    ran: list[object] = []

    def callback(number: int) -> None:
        ran.append(number)
        if number < 100:
            loop.call_soon(callback, number + 100)

    def nest() -> None:
        ran.append("nest")
        loop.run_nested(asyncio.sleep(0))
        ran.append("after")

    for number in range(3):
        loop.call_soon(callback, number)
    loop.call_soon(nest)
    for number in range(3, 6):
        loop.call_soon(callback, number)
    loop.call_soon(loop.call_later, 0.01, loop.stop)
    loop.run_forever()
    assert ran[:4] == [0, 1, 2, "nest"]
    assert [it for it in ran if isinstance(it, int)] == [*range(6), *range(100, 106)]
    assert ran.count("after") == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_exit_request(loop: Any, logged: LogList, kind: type[BaseException]) -> None:
    """S2.17, S2.20: it leaves the nested run and the outer one; what has not run is still in the queue, in order."""
    ran: list[int] = []
    tasks: list[Any] = []

    def leave() -> None:
        loop.call_soon(ran.append, 3)
        raise kind

    async def nested() -> None:
        loop.call_soon(leave)
        loop.call_soon(ran.append, 2)
        await asyncio.sleep(60)

    async def main() -> None:
        tasks.append(asyncio.current_task())
        loop.call_soon(ran.append, 1)
        tasks.append(asyncio.create_task(nested()))
        try:
            loop.run_nested(tasks[1])
        finally:
            assert asyncio.current_task() is tasks[0]

    with pytest.raises(kind):
        loop.run_until_complete(main())
    assert ran == [1]
    assert not loop.is_running()
    tasks[1].cancel()
    loop.run_until_complete(asyncio.wait([tasks[1]]))
    assert ran == [1, 2, 3]
    gc.collect()
    assert logged.texts(logging.ERROR) == []


def test_exit_request_of_the_nested_task(loop: Any, run: Run, logged: LogList) -> None:
    """S2.17: the caller may catch it, and nothing else is said of it."""

    async def main() -> str:
        with pytest.raises(SystemExit):
            loop.run_nested(fail(SystemExit()))
        return await asyncio.sleep(0.001, "goes on")

    assert run(main()) == "goes on"
    gc.collect()
    assert logged.texts(logging.ERROR) == []


def test_stop(loop: Any, logged: LogList) -> None:
    """S2.15, S2.16: the nested run ends with asyncio's error, and the outer run ends, too."""
    seen: list[str] = []

    async def stuck() -> None:
        loop.stop()
        try:
            await loop.create_future()
        finally:
            seen.append("cancelled")

    def callback() -> None:
        with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed\.$"):
            loop.run_nested(stuck())
        seen.append("nested")

    loop.call_soon(callback)
    loop.run_forever()
    assert seen == ["nested"]
    gc.collect()
    assert logged.texts(logging.ERROR) == []
    assert loop.run_until_complete(asyncio.sleep(0.001, "whole run")) == "whole run"
    assert seen == ["nested", "cancelled"]


def test_stop_with_the_result(loop: Any) -> None:
    """The result is not lost, and neither is the request."""
    seen: list[Any] = []

    async def stop() -> str:
        loop.call_soon(loop.stop)
        return "done"

    def callback() -> None:
        seen.append(loop.run_nested(stop()))

    loop.call_soon(callback)
    loop.run_forever()
    assert seen == ["done"]


def test_nested_in_nested(loop: Any, run: Run) -> None:
    """They end in the reverse of the order in which they began, each with its own result."""
    ends: list[str] = []

    async def inner() -> str:
        await asyncio.sleep(0.01)
        return "inner"

    async def outer() -> str:
        loop.call_soon(lambda: ends.append(loop.run_nested(inner())))
        return "outer"

    async def main() -> None:
        ends.append(loop.run_nested(outer()))
        assert ends == ["inner", "outer"]
        assert loop.run_nested(nest(20)) == 20

    async def nest(depth: int) -> int:
        return 1 + loop.run_nested(nest(depth - 1)) if depth else 0

    run(main())


def test_many_at_once(loop: Any, run: Run) -> None:
    """Tasks that nest while others do lie on top of each other; each has its result."""

    async def nest(number: int) -> int:
        return int(loop.run_nested(asyncio.sleep(0.001, number)))

    async def main() -> None:
        assert await asyncio.gather(*map(nest, range(50))) == [*range(50)]

    run(main())


@pytest.mark.parametrize("limit", [1000, 1_000_000])
def test_too_deep(run_script: RunScript, limit: int) -> None:
    """Neither Python's recursion limit nor, where that was raised, the native stack ends the process."""
    script = run_script(
        f"""
        import asyncio, sys
        sys.setrecursionlimit({limit})
        loop = new_event_loop()

        async def nest(depth):
            return loop.run_nested(nest(depth - 1)) if depth else "all of them"

        async def main():
            try:
                loop.run_nested(nest(100_000))
            except RecursionError:
                print("too deep")
            print(loop.run_nested(nest(50)))

        loop.run_until_complete(main())
        loop.close()
        """
    )
    assert script.out.splitlines() == ["too deep", "all of them"]


def test_close(loop: Any, run: Run) -> None:
    """S2.21."""

    async def close() -> None:
        with pytest.raises(RuntimeError, match=r"^Cannot close a running event loop$"):
            loop.close()

    async def main() -> None:
        loop.run_nested(close())

    run(main())


# Signals


def test_keyboard_interrupt(run_script: RunScript) -> None:
    """S36: Ctrl-C while nobody has anything to do ends both runs."""
    script = run_script(
        """
        import asyncio, os, signal, threading
        loop = new_event_loop()
        interrupt = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT))

        async def main():
            loop.call_later(0.01, interrupt.start)
            try:
                loop.run_nested(asyncio.sleep(60))
            finally:
                print("left", asyncio.current_task() is not None)

        try:
            loop.run_until_complete(main())
        except KeyboardInterrupt:
            print("interrupted", loop.is_running())
        interrupt.join()
        # Nobody waits for the sleep any more: it was cancelled.
        loop.run_until_complete(asyncio.sleep(0.001))
        print(asyncio.all_tasks(loop))
        loop.close()
        """
    )
    assert script.out.splitlines() == ["left True", "interrupted False", "set()"]
    assert script.err == ""


def test_keyboard_interrupt_of_a_runner(run_script: RunScript) -> None:
    """The first Ctrl-C cancels the main task, which hears of it when it goes on; a second one ends all at once."""
    script = run_script(
        """
        import asyncio, os, signal

        async def interrupt(seconds):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(seconds)
            print("nested")

        async def main(*seconds):
            for number in seconds:
                asyncio.get_running_loop().run_nested(interrupt(number))
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("cancelled")
                raise

        for seconds in (0.01,), (0.01, 60):
            try:
                with asyncio.Runner(loop_factory=new_event_loop) as runner:
                    runner.run(main(*seconds))
            except KeyboardInterrupt:
                print("interrupted")
        """
    )
    assert script.out.splitlines() == ["nested", "cancelled", "interrupted", "nested", "interrupted"]
    assert script.err == ""


def test_signal_handler_that_nests(loop: Any) -> None:
    """A handler of the signal module runs between two callbacks, and inside the sleep of a loop."""
    seen: list[str] = []

    def handle(*_: object) -> None:
        seen.append(loop.run_nested(asyncio.sleep(0.001, "slept")))
        loop.stop()

    old = signal.signal(signal.SIGUSR2, handle)
    thread = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR2))
    try:
        loop.call_later(0.01, thread.start)
        loop.run_forever()
    finally:
        signal.signal(signal.SIGUSR2, old)
    thread.join()
    assert seen == ["slept"]


# What the loop tells of itself


def slow(logged: LogList) -> list[str]:
    """What debug mode has reported."""
    return [record.getMessage() for record in logged.records if record.msg == SLOW]


def test_debug_mode(loop_kind: str, logged: LogList) -> None:
    """S8.6: a callback that waits is not slow, and is the current one again afterwards."""
    virtual = importlib.import_module("ferroloop.testing").VirtualClockLoop

    async def nested(depth: int) -> None:
        if depth:
            asyncio.get_running_loop().run_nested(nested(depth - 1))
        await asyncio.sleep(60)

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        handle = loop._current_handle
        loop.run_nested(nested(2))
        assert loop._current_handle is handle is not None
        assert loop.time() == 180

    with asyncio.Runner(loop_factory=virtual, debug=True) as runner:
        runner.run(main())
    assert slow(logged) == []


def test_slow_callback_that_nests(loop: Any, run: Run, logged: LogList) -> None:
    """S8.6: its own time counts, before and after."""

    async def blocking() -> None:
        time.sleep(0.06)
        loop.run_nested(asyncio.sleep(0.01))
        time.sleep(0.06)

    loop.set_debug(True)
    loop.slow_callback_duration = 0.1
    run(blocking())
    assert len(slow(logged)) == 1


def test_watchdog_and_stats(loop: Any, run: Run, logged: LogList) -> None:
    """A nested run that waits is idle, and blocks nobody."""
    loop.set_watchdog(0.25)

    async def main() -> None:
        before = loop.stats()
        loop.run_nested(asyncio.sleep(0.8))
        after = loop.stats()
        assert after["idle"] - before["idle"] > 0.4
        assert after["callbacks"] > before["callbacks"]

    run(main())
    assert logged.texts(logging.WARNING) == []


def test_loop_that_others_drive(loop: Any) -> None:
    """S2.27: a callback of a single iteration may nest."""
    seen: list[str] = []
    loop._run_forever_setup()
    try:
        loop.call_soon(lambda: seen.append(loop.run_nested(asyncio.sleep(0.001, "slept"))))
        loop._run_once()
    finally:
        loop._run_forever_cleanup()
    assert seen == ["slept"]
