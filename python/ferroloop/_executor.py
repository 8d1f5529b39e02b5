"""Running blocking functions in threads (asyncio: Executing code in thread or process pools)."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from concurrent import futures

from ._compat import of_this_python

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, ThreadPoolExecutor
    from typing import TypeVar, TypeVarTuple

    from ._loop import EventLoop

    _T = TypeVar("_T")
    _Ts = TypeVarTuple("_Ts")


def run_in_executor(
    loop: EventLoop, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
) -> asyncio.Future[_T]:
    """Call `func(*args)` in `executor` (None: the default one) and return a future for its result.

    Raises RuntimeError if the loop is closed or the default executor has been shut down.
    """
    loop._check_closed()
    if loop.get_debug():
        loop._check_callback(func, "run_in_executor")
    if executor is None:
        executor = _default_executor(loop)
    return asyncio.wrap_future(executor.submit(func, *args), loop=loop)


def _default_executor(loop: EventLoop) -> Executor:
    if loop._executor_shutdown_called:
        raise RuntimeError("Executor shutdown has been called")
    if loop._default_executor is None:
        loop._default_executor = futures.ThreadPoolExecutor(thread_name_prefix="asyncio")
    return loop._default_executor


def set_default_executor(loop: EventLoop, executor: Executor) -> None:
    """Use `executor` where none is named. Raises TypeError if it is not a ThreadPoolExecutor."""
    if not isinstance(executor, futures.ThreadPoolExecutor):
        raise TypeError("executor must be ThreadPoolExecutor instance")
    loop._default_executor = executor


@of_this_python
async def shutdown_default_executor(loop: EventLoop, timeout: float | None = None) -> None:
    """Wait until the default executor's threads have ended; it takes no calls from now on.

    After `timeout` seconds (None: no limit) a RuntimeWarning is issued and the threads are left to themselves. An
    error of the executor's own shutdown is raised.
    """
    loop._executor_shutdown_called = True
    executor = loop._default_executor
    if executor is None:
        return
    done = loop.create_future()
    thread = threading.Thread(target=_join, args=(loop, executor, done))
    thread.start()
    try:
        async with asyncio.timeout(timeout):
            await done
    except TimeoutError:
        warnings.warn(
            f"The executor did not finishing joining its threads within {timeout} seconds.",
            RuntimeWarning,
            stacklevel=2,
        )
        executor.shutdown(wait=False)
    else:
        thread.join()


def _join(loop: EventLoop, executor: Executor, done: asyncio.Future[None]) -> None:
    """In a helper thread, so that the loop keeps running: join the executor and tell `done`."""
    error = None
    try:
        executor.shutdown(wait=True)
    except Exception as exc:
        error = exc
    try:
        loop.call_soon_threadsafe(_settle, done, error)
    except RuntimeError:
        if not loop.is_closed():  # nobody waits on a closed loop
            raise


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():  # cancelled, or out of time
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def own_threads(loop: EventLoop, name: str) -> ThreadPoolExecutor:
    """The loop's own pool of that name, made when it is first asked for; it starts a thread only when none is idle.

    A forked child has its own: of those it inherited it has no threads.
    """
    key = os.getpid(), name
    if key not in loop._own_threads:
        loop._own_threads[key] = futures.ThreadPoolExecutor(thread_name_prefix=name)
    return loop._own_threads[key]


def abandon_threads(loop: EventLoop) -> None:
    """On close: nobody is left to tell, so what the loop's own pools have not begun never will be."""
    for (pid, _), pool in loop._own_threads.items():
        if pid == os.getpid():  # the lock of an inherited one may be held for ever
            pool.shutdown(wait=False, cancel_futures=True)
