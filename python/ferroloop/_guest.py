"""A whole asyncio program inside somebody else's loop, the host's (trio: Using "guest mode").

Each iteration runs in the host's thread. Only the waiting between them is done elsewhere, by a thread that does nothing
else: it polls the loop's descriptor, asks the host for an iteration, and is told by that how long to wait next.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import sys
import threading
from asyncio import constants
from queue import SimpleQueue

from ._runner import new_event_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    from ._loop import EventLoop

    _T = TypeVar("_T")


def start_guest_run(
    main: Coroutine[Any, Any, _T],
    *,
    run_sync_soon_threadsafe: Callable[[Callable[[], None]], object],
    done_callback: Callable[[asyncio.Task[_T]], object],
    loop_factory: Callable[[], EventLoop] | None = None,
) -> asyncio.Task[_T]:
    """Run the coroutine `main` on a new loop inside the host's loop, in this thread, and return its task at once.

    run_sync_soon_threadsafe: is given functions without arguments, in this thread and in another one, and has the host
    call each of them soon, in this thread.
    done_callback: called in this thread with the finished task, when the rest of the tasks has been cancelled,
    asynchronous generators and the default executor are shut down, and the loop is closed: as asyncio.Runner ends, but
    the host's loop goes on meanwhile. It gets exceptions and cancellation of `main` as tasks have them.
    loop_factory: what makes the loop; default `ferroloop.new_event_loop`.

    The host must be kept running until then: a run that it abandons is left as it is, though its thread does not keep
    the process alive. `task.cancel()`, in this thread, ends the run; `loop.stop()` has no effect. SystemExit,
    KeyboardInterrupt and whatever else leaves an iteration is raised in the host, which was asked for the next one
    before, and `main` is cancelled.

    Raises TypeError if `main` is no coroutine, RuntimeError if no thread can be started, and whatever `loop_factory`
    and `run_sync_soon_threadsafe` raise.
    """
    if not asyncio.iscoroutine(main):
        raise TypeError(f"a coroutine was expected, got {main!r}")
    with contextlib.ExitStack() as undo:
        undo.callback(main.close)
        loop = (loop_factory or new_event_loop)()
        guest = _Guest(loop, run_sync_soon_threadsafe)
        undo.callback(guest.close)
        guest.thread.start()
        task = loop.create_task(main)
        # Left pending, its end is no news to the caller, who gets the exception.
        undo.callback(setattr, task, "_log_destroy_pending", False)
        guest.begin(task, done_callback)
        undo.pop_all()
    return task


class _Guest:
    """One run. All but `_wait` is called in the host's thread, and there is never more than one request under way."""

    def __init__(self, loop: EventLoop, ask: Callable[[Callable[[], None]], object]) -> None:
        self._loop = loop
        self._ask = ask
        # Descriptor and seconds of each wait; None is the end.
        self._waits: SimpleQueue[tuple[int, float | None] | None] = SimpleQueue()
        self._shutdown: asyncio.Task[None] | None = None
        # It waits where nobody could tell it that the interpreter ends.
        self.thread = threading.Thread(target=self._wait, name="ferroloop-guest", daemon=True)

    def begin(self, main: asyncio.Task[_T], done_callback: Callable[[asyncio.Task[_T]], object]) -> None:
        """Ask for the first iteration."""
        self._main: asyncio.Task[Any] = main
        self._done_callback = done_callback
        self._ask(self._iterate)

    def close(self) -> None:
        """End the thread and close the loop."""
        self._waits.put(None)
        self._loop.close()

    def _iterate(self) -> None:
        try:
            self._loop.run_once()
        except BaseException:
            self._main.cancel()
            raise
        finally:
            self._go_on()

    def _go_on(self) -> None:
        if self._shutdown is not None and self._shutdown.done():
            self.close()
            self._done_callback(self._main)
            return
        try:
            if self._main.done() and self._shutdown is None:
                self._shutdown = self._loop.create_task(_shut_down(self._loop))
            seconds = self._loop.backend_timeout()
            if seconds == 0:
                self._ask(self._iterate)
            else:
                self._waits.put((self._loop.backend_fd(), seconds))
        except BaseException:
            self._waits.put(None)  # nobody will ever ask the thread again
            raise

    def _wait(self) -> None:
        """The thread. It ends with an error if the host cannot be asked any more."""
        while (wait := self._waits.get()) is not None:
            fd, seconds = wait
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            poll.poll(None if seconds is None else seconds * 1000)  # rounded up to whole milliseconds
            self._ask(self._iterate)


async def _shut_down(loop: EventLoop) -> None:
    """The steps of asyncio.Runner.close, which has a loop that it can run until each is done."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for task in left:
        if not task.cancelled() and (exc := task.exception()) is not None:
            context = {"message": "unhandled exception during guest run shutdown", "exception": exc, "task": task}
            loop.call_exception_handler(context)
    await loop.shutdown_asyncgens()
    if sys.version_info >= (3, 12):
        await loop.shutdown_default_executor(constants.THREAD_JOIN_TIMEOUT)
    else:
        await loop.shutdown_default_executor()
