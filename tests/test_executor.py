"""S12: executors and their shutdown."""

import asyncio
import concurrent.futures
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.gates import ferroloop_only, since
from support.loops import Loop, NewLoop, Run
from support.net import eventually
from support.turns import turn


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """An executor of one thread."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_result_and_exception(loop: Loop, run: Run) -> None:
    """S12.1."""

    async def main() -> None:
        assert await loop.run_in_executor(None, divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 7, 0)

    run(main())


def test_it_is_a_plain_method(loop: Loop, pool: ThreadPoolExecutor) -> None:
    """S12.1: it submits at once, also while the loop is not running."""
    ran = threading.Event()
    future = loop.run_in_executor(pool, ran.set)
    assert isinstance(future, asyncio.Future)
    assert ran.wait(5)
    loop.run_until_complete(future)


def test_default_executor(loop: Loop, run: Run) -> None:
    """S12.2."""
    name = run(asyncio.to_thread(lambda: threading.current_thread().name))
    assert name.startswith("asyncio_")


def test_submits_to_the_given_executor(loop: Loop, run: Run, pool: ThreadPoolExecutor) -> None:
    """S12.1."""

    async def main() -> tuple[str, str]:
        name = lambda: threading.current_thread().name  # noqa: E731
        return await loop.run_in_executor(pool, name), await loop.run_in_executor(None, name)

    given, default = run(main())
    assert not given.startswith("asyncio_")
    assert default.startswith("asyncio_")


def test_set_default_executor(loop: Loop, run: Run) -> None:
    """S12.6."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="mine")
    loop.set_default_executor(pool)
    name = run(asyncio.to_thread(lambda: threading.current_thread().name))
    assert name == "mine_0"
    run(loop.shutdown_default_executor())
    with pytest.raises(RuntimeError):
        pool.submit(print)


@pytest.mark.parametrize("wrong", [None, 1, object(), concurrent.futures.Executor()])
def test_default_executors_are_thread_pools(loop: Loop, wrong: object) -> None:
    """S12.6."""
    with pytest.raises(TypeError, match=r"^executor must be ThreadPoolExecutor instance$"):
        loop.set_default_executor(wrong)


def test_after_shutdown_the_default_is_refused(loop: Loop, run: Run, pool: ThreadPoolExecutor) -> None:
    """S12.3, S12.7."""
    run(asyncio.to_thread(int))
    run(loop.shutdown_default_executor())
    with pytest.raises(RuntimeError, match=r"^Executor shutdown has been called$"):
        loop.run_in_executor(None, int)
    loop.run_until_complete(loop.run_in_executor(pool, int))


def test_shutdown_of_a_never_used_executor(loop: Loop, run: Run) -> None:
    """S12.3, S12.7: returns at once, and forbids a first use."""
    threads = threading.active_count()
    coro = loop.shutdown_default_executor()
    with pytest.raises(StopIteration):
        coro.send(None)
    assert threading.active_count() == threads
    with pytest.raises(RuntimeError, match=r"^Executor shutdown has been called$"):
        loop.run_in_executor(None, int)


def test_shutdown_lets_the_loop_run(loop: Loop, run: Run) -> None:
    """S12.7: it joins elsewhere; and may be called twice."""
    release = threading.Event()

    async def main() -> bool:
        work = loop.run_in_executor(None, release.wait, 5)
        shutdown = asyncio.ensure_future(loop.shutdown_default_executor())
        await asyncio.sleep(0.01)
        assert not shutdown.done()
        release.set()
        await shutdown
        await loop.shutdown_default_executor()
        return await work

    assert run(main()) is True


def test_shutdown_leaves_no_thread(loop: Loop, run: Run) -> None:
    """S12.7."""
    before = threading.active_count()
    run(asyncio.to_thread(int))
    assert threading.active_count() == before + 1
    run(loop.shutdown_default_executor())
    assert threading.active_count() == before


@since(3, 12)
@ferroloop_only("3.12 waits for ever in spite of the timeout", "S12.8", sys.version_info < (3, 13))
def test_shutdown_timeout(loop: Loop, run: Run) -> None:
    """S12.8, S55.1."""
    release = threading.Event()
    text = r"^The executor did not finishing joining its threads within 0\.02 seconds\.$"

    async def main() -> None:
        threads = threading.active_count()
        work = loop.run_in_executor(None, release.wait, 5)
        with pytest.warns(RuntimeWarning, match=text):
            await loop.shutdown_default_executor(0.02)
        release.set()
        await work
        await eventually(lambda: threading.active_count() == threads)  # the joining thread has ended too

    run(main())


class Broken(ThreadPoolExecutor):
    """An executor that cannot be shut down."""

    def shutdown(self, wait: bool = True, **kwargs: Any) -> None:
        """Raise if asked to wait."""
        super().shutdown(wait, **kwargs)
        if wait:
            raise LookupError


def test_failing_shutdown(loop: Loop, run: Run) -> None:
    """S12.9."""
    loop.set_default_executor(Broken(1))

    async def main() -> None:
        with pytest.raises(LookupError):
            await loop.shutdown_default_executor()

    run(main())
    loop.close()


@ferroloop_only("asyncio sets a result on the cancelled future (before 3.13)", "S12.10", sys.version_info < (3, 13))
def test_cancelled_shutdown(loop: Loop, run: Run, errors: list[dict[str, Any]]) -> None:
    """S12.10: nothing is left behind that fails later."""
    release = threading.Event()

    async def main() -> None:
        threads = threading.active_count()
        work = loop.run_in_executor(None, release.wait, 5)
        shutdown = asyncio.ensure_future(loop.shutdown_default_executor())
        await asyncio.sleep(0.01)
        shutdown.cancel()
        with pytest.raises(asyncio.CancelledError):
            await shutdown
        release.set()
        await work
        await eventually(lambda: threading.active_count() == threads)
        await asyncio.sleep(0)  # for what the joining thread asked for last

    run(main())
    assert errors == []


def test_cancel_before_start(loop: Loop, run: Run, pool: ThreadPoolExecutor) -> None:
    """S12.4."""
    release, ran = threading.Event(), threading.Event()

    async def main() -> None:
        running = loop.run_in_executor(pool, release.wait, 5)
        waiting = loop.run_in_executor(pool, ran.set)
        waiting.cancel()
        await asyncio.sleep(0.001)
        release.set()
        await running
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await loop.run_in_executor(pool, int)

    run(main())
    assert not ran.is_set()


def test_cancel_after_start(loop: Loop, run: Run, pool: ThreadPoolExecutor, errors: list[dict[str, Any]]) -> None:
    """S12.4: the late result is dropped quietly."""
    started, release = threading.Event(), threading.Event()

    def work() -> int:
        started.set()
        release.wait(5)
        return 5

    async def main() -> None:
        future = loop.run_in_executor(pool, work)
        started.wait(5)
        future.cancel()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await future
        await loop.run_in_executor(pool, int)
        await asyncio.sleep(0.005)

    run(main())
    assert errors == []


def test_result_after_close(new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """S12.5, S12.11: no exception in the worker, and close() does not wait."""
    seen: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    release = threading.Event()
    loop = new_loop()
    threads: list[threading.Thread] = []

    def work() -> None:
        threads.append(threading.current_thread())
        release.wait(5)

    loop.run_in_executor(None, work)
    started = time.monotonic()
    turn(loop)
    loop.close()
    assert time.monotonic() - started < 2
    while not threads:
        time.sleep(0.001)
    release.set()
    threads[0].join(5)
    assert seen == []


def test_overridden_run_in_executor(loop_class: type) -> None:
    """S1.9: lookups and to_thread use the override."""
    calls: list[object] = []

    class Overriding(loop_class):
        def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
            calls.append(func)
            return super().run_in_executor(executor, func, *args)

    loop = Overriding()
    assert loop.run_until_complete(asyncio.to_thread(int)) == 0
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert len(calls) == 1
