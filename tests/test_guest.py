"""`ferroloop.start_guest_run`: a program that runs inside somebody else's loop, iteration by iteration."""

import asyncio
import gc
import importlib
import inspect
import logging
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.log import LogList
from support.scripts import Script
from support.signals import Delayed

pytestmark = ferroloop_only("asyncio has no such function", spec="S2.27")

SOON = 20.0


class Host:
    """Somebody else's loop; it knows how often it was asked for an iteration, and that no two of them overlap."""

    def __init__(self) -> None:
        self.finished: list[asyncio.Task[Any]] = []
        self.asked = 0
        self._waiting = False
        self._thread = threading.get_ident()

    def start(self, main: Any, **options: Any) -> asyncio.Task[Any]:
        """Begin a run."""
        start = importlib.import_module("ferroloop").start_guest_run
        return start(main, run_sync_soon_threadsafe=self.ask, done_callback=self._finish, **options)

    def ask(self, iterate: Callable[[], None]) -> None:
        """What the guest is given."""
        assert not self._waiting
        self._waiting = True
        self.asked += 1
        self.soon(lambda: self._iterate(iterate))

    def _iterate(self, iterate: Callable[[], None]) -> None:
        self._waiting = False
        iterate()

    def _finish(self, task: asyncio.Task[Any]) -> None:
        assert threading.get_ident() == self._thread
        assert task.get_loop().is_closed()
        self.finished.append(task)

    def finish(self) -> asyncio.Task[Any]:
        """Run until the guest is done."""
        self.until(lambda: self.finished)
        assert not self._waiting
        assert len(self.finished) == 1
        return self.finished.pop()

    def run(self, main: Any, **options: Any) -> Any:
        """Run a coroutine from beginning to end."""
        task = self.start(main, **options)
        assert self.finish() is task
        return task.result()

    def soon(self, callback: Callable[[], object]) -> None:
        """Have it called in the host's thread; from any thread."""
        raise NotImplementedError

    def until(self, done: Callable[[], object]) -> None:
        """Run until this is so."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is left to do."""


class Toy(Host):
    """A loop in three lines."""

    def __init__(self) -> None:
        super().__init__()
        self._queue: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self.soon = self._queue.put  # type: ignore[method-assign]

    def until(self, done: Callable[[], object]) -> None:
        while not done():
            self._queue.get(timeout=SOON)()


class Asyncio(Host):
    """Another asyncio loop."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.SelectorEventLoop()
        self.soon = self.loop.call_soon_threadsafe  # type: ignore[method-assign]

    def until(self, done: Callable[[], object]) -> None:
        def look() -> None:
            if done():
                self.loop.stop()
            else:
                self.loop.call_later(0.001, look)

        look()
        self.loop.run_forever()

    def close(self) -> None:
        self.loop.close()


def guests() -> list[threading.Thread]:
    """The threads that wait for guests."""
    return [thread for thread in threading.enumerate() if thread.name == "ferroloop-guest"]


@pytest.fixture(params=[Toy, Asyncio])
def host(request: pytest.FixtureRequest, loop_class: type) -> Iterator[Any]:
    """A loop to be the guest of; afterwards no thread is left, nor, as always, a descriptor."""
    host = request.param()
    yield host
    host.close()
    for thread in guests():
        thread.join(SOON)
    assert guests() == []


async def sleep() -> None:
    loop = asyncio.get_running_loop()
    for _ in range(100):
        due = loop.time() + 0.001
        await asyncio.sleep(0.001)
        assert loop.time() >= due
    started = time.monotonic()
    await asyncio.gather(*[asyncio.sleep(0.05) for _ in range(100)])
    assert time.monotonic() - started >= 0.05


async def echo() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100_000):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for size in 1, 1000, 1_000_000:
            writer.write(b"x" * size)
            assert await reader.readexactly(size) == b"x" * size
        writer.close()
        await writer.wait_closed()
        await ended.wait()


async def threads() -> None:
    loop = asyncio.get_running_loop()
    assert await asyncio.gather(*[asyncio.to_thread(pow, number, 2) for number in range(20)])
    for _ in range(100):
        event = asyncio.Event()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(event.set,))
        thread.start()
        await event.wait()
        thread.join()


async def names() -> None:
    loop = asyncio.get_running_loop()
    for _ in range(20):
        assert await loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)


async def process() -> None:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(input())", stdin=pipe, stdout=pipe)
    assert await child.communicate(b"hello\n") == (b"hello\n", None)
    assert child.returncode == 0


async def turns() -> None:
    for _ in range(1000):
        await asyncio.sleep(0)


@pytest.mark.parametrize("program", [sleep, echo, threads, names, process, turns])
def test_programs(host: Host, program: Callable[[], Any]) -> None:
    """What asyncio programs do."""
    host.run(program())


def test_signals(host: Host, dispositions: None) -> None:
    """A signal with a handler of the loop wakes an idle guest."""

    async def main() -> None:
        event = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, event.set)
        sender = Delayed(signal.SIGUSR1)
        sender.start()
        await event.wait()
        sender.join()

    host.run(main())


def test_values(host: Host) -> None:
    """The task has what the coroutine returned or raised, its loop is the running one meanwhile and only then."""

    async def good() -> str:
        assert asyncio.get_running_loop() is asyncio.current_task().get_loop()  # type: ignore[union-attr]
        return "value"

    async def bad() -> None:
        await asyncio.sleep(0)
        raise LookupError("mine")

    assert host.run(good()) == "value"
    with pytest.raises(LookupError, match="mine"):
        host.run(bad())
    assert asyncio._get_running_loop() is None


def test_cancelled(host: Host) -> None:
    """By the host, while the guest waits for nothing in particular."""

    async def main() -> None:
        host.soon(lambda: task.cancel())
        await asyncio.Event().wait()

    task = host.start(main())
    assert host.finish() is task
    assert task.cancelled()


def test_before_it_began(host: Host) -> None:
    """Nothing has run."""
    task = host.start(asyncio.sleep(3600))
    task.cancel()
    assert host.finish().cancelled()


def test_the_hosts_own_code(host: Host) -> None:
    """May use what asyncio offers, between two iterations, as a button's handler does."""

    async def main() -> str:
        event = asyncio.Event()
        host.soon(event.set)
        await event.wait()
        started: asyncio.Future[asyncio.Task[str]] = asyncio.get_running_loop().create_future()
        host.soon(lambda: started.set_result(loop.create_task(asyncio.sleep(0, "from a button"))))
        return await (await started)

    task = host.start(main())
    loop = task.get_loop()
    host.finish()
    assert task.result() == "from a button"


def test_what_is_left_over(host: Host) -> None:
    """Is ended as asyncio.Runner does: tasks, asynchronous generators, the executor; and the host goes on meanwhile."""
    ended: list[str] = []
    gate = threading.Event()

    async def generate() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0.001)
            ended.append("generator")

    async def leave() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.001)
            ended.append("task")
            # The executor's thread has to wait for the host.
            host.soon(gate.set)

    async def main() -> AsyncIterator[int]:
        tasks.add(asyncio.create_task(leave()))
        asyncio.get_running_loop().run_in_executor(None, gate.wait, SOON)
        generator = generate()
        assert await anext(generator) == 1
        return generator

    tasks: set[Any] = set()
    host.run(main())
    assert ended == ["task", "generator"]
    assert gate.is_set()


def test_errors_of_what_is_left_over(host: Host, logged: LogList) -> None:
    """They go to the loop's exception handler."""

    async def leave() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise LookupError("mine")

    async def main() -> None:
        tasks.add(asyncio.create_task(leave()))
        await asyncio.sleep(0)

    tasks: set[Any] = set()
    host.run(main())
    assert any(text.startswith("unhandled exception during guest run shutdown") for text in logged.texts())


def test_an_idle_guest(host: Host) -> None:
    """Nothing happens, so nothing is run, and the host is asked for nothing."""

    async def main() -> tuple[float, int]:
        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        await asyncio.sleep(0.001)
        timer = threading.Timer(0.1, loop.call_soon_threadsafe, args=(event.set,))
        before, asked = loop.stats()["iterations"], host.asked  # type: ignore[attr-defined]
        timer.start()
        await event.wait()
        timer.join()
        return loop.stats()["iterations"] - before, host.asked - asked  # type: ignore[attr-defined]

    iterations, asked = host.run(main())
    assert iterations == asked <= 3


def test_stop(host: Host) -> None:
    """`loop.stop()` ends an iteration, not the run."""

    async def main() -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.001)
        return "on"

    assert host.run(main()) == "on"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_exit_requests(host: Host, error: type[BaseException]) -> None:
    """They are raised in the host. Where that goes on all the same, the guest is ended."""

    def leave() -> None:
        raise error

    async def main() -> None:
        asyncio.get_running_loop().call_soon(leave)
        await asyncio.sleep(3600)

    task = host.start(main())
    with pytest.raises(error):
        host.finish()
    assert host.finish() is task
    assert task.cancelled()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_exit_requests_of_main(host: Host, error: type[BaseException]) -> None:
    """The task has them as well."""

    async def main() -> None:
        raise error

    host.start(main())
    with pytest.raises(error):
        host.finish()
    assert type(host.finish().exception()) is error


def test_guests_side_by_side(host: Host) -> None:
    """One host, two guests."""

    async def main(number: int) -> int:
        for _ in range(20):
            await asyncio.sleep(0.001)
        return number

    results: list[int] = []
    start = importlib.import_module("ferroloop").start_guest_run
    for number in range(2):
        start(
            main(number),
            run_sync_soon_threadsafe=host.soon,
            done_callback=lambda task: results.append(task.result()),
        )
    host.until(lambda: len(results) == 2)
    assert sorted(results) == [0, 1]


def test_loop_factory(host: Host) -> None:
    """A loop of one's own choice and state."""
    package = importlib.import_module("ferroloop")
    loop = package.EventLoop()
    loop.set_debug(True)

    async def main() -> Any:
        return asyncio.get_running_loop()

    assert host.run(main(), loop_factory=lambda: loop) is loop


def test_no_coroutine(host: Host) -> None:
    """Nothing is begun."""
    with pytest.raises(TypeError, match="a coroutine was expected, got <function"):
        host.start(sleep)
    assert guests() == []


def test_a_host_that_refuses(loop_class: type, logged: LogList) -> None:
    """From the start: there is no run."""

    def refuse(iterate: Callable[[], None]) -> None:
        raise LookupError("no host")

    start = importlib.import_module("ferroloop").start_guest_run
    with pytest.raises(LookupError, match="no host"):
        start(sleep(), run_sync_soon_threadsafe=refuse, done_callback=pytest.fail)
    for thread in guests():
        thread.join(SOON)
    assert guests() == []
    gc.collect()
    assert logged.texts(logging.ERROR) == []


def test_no_loop(host: Host) -> None:
    """The coroutine is closed: nobody is to wonder why it was never awaited."""

    def fail() -> Any:
        raise LookupError("no loop")

    main = sleep()
    with pytest.raises(LookupError, match="no loop"):
        host.start(main, loop_factory=fail)
    assert inspect.getcoroutinestate(main) == inspect.CORO_CLOSED
    assert guests() == []


def test_a_host_that_is_gone(loop_class: type, logged: LogList, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread ends with the host's error."""
    errors: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    asked: list[Callable[[], None]] = []

    def ask(iterate: Callable[[], None]) -> None:
        if asked:
            raise LookupError("no host")
        asked.append(iterate)

    start = importlib.import_module("ferroloop").start_guest_run
    task = start(asyncio.sleep(0.001), run_sync_soon_threadsafe=ask, done_callback=pytest.fail)
    (thread,) = guests()
    asked[0]()
    thread.join(SOON)
    assert not thread.is_alive()
    assert [error.exc_type for error in errors] == [LookupError]
    task.get_loop().close()
    task._log_destroy_pending = False


def drain(asked: queue.SimpleQueue[Callable[[], None]]) -> None:
    """Run what there is and will be."""
    while True:
        asked.get(timeout=SOON)()


def test_an_error_of_the_done_callback(loop_class: type) -> None:
    """Is raised in the host, when all is over."""
    asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def done(task: asyncio.Task[None]) -> None:
        raise LookupError("mine")

    start = importlib.import_module("ferroloop").start_guest_run
    task = start(asyncio.sleep(0), run_sync_soon_threadsafe=asked.put, done_callback=done)
    while not task.done():
        asked.get(timeout=SOON)()
    with pytest.raises(LookupError, match="mine"):
        drain(asked)
    assert task.get_loop().is_closed()
    for thread in guests():
        thread.join(SOON)
    assert guests() == []


@pytest.mark.parametrize("seconds", ["0.001", "3600"])
def test_abandoned(run_script: Callable[..., Script], seconds: str) -> None:
    """A host that ends first: the process ends with it, whatever the thread waits for."""
    code = f"""
    import asyncio, queue, ferroloop

    asked = queue.SimpleQueue()
    task = ferroloop.start_guest_run(
        asyncio.sleep({seconds}), run_sync_soon_threadsafe=asked.put, done_callback=print
    )
    asked.get()()
    print("ended")
    """
    assert run_script(code).out == "ended\n"


def test_interrupt(run_script: Callable[..., Script]) -> None:
    """Ctrl-C as the documentation advises: the host has a handler, and the guest is cancelled."""
    code = """
    import asyncio, os, queue, signal, ferroloop

    async def main():
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(3600)

    asked, finished = queue.SimpleQueue(), []
    task = ferroloop.start_guest_run(main(), run_sync_soon_threadsafe=asked.put, done_callback=finished.append)
    signal.signal(signal.SIGINT, lambda *_: task.cancel())
    while not finished:
        asked.get()()
    print(task.cancelled())
    """
    assert run_script(code).out == "True\n"
