"""The watchdog: what blocks the loop is shown while it does.

A thread looks at the running loop now and then. A loop that sleeps in its poll is left alone. Any other gets a beat, a
callback that it is to run soon; if it does not, the stack of its thread shows why.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
import traceback
import weakref
from asyncio.log import logger

from ._environment import default
from ._observe import running_task_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._loop import EventLoop


# How often to look within the time that the loop is given: a block is noticed so much later at most.
_LOOKS = 2
# Seconds between two looks at least: threads take turns of 5 ms (`sys.getswitchinterval`).
_SHORTEST_PAUSE = 0.001
# Seconds to wait for the thread's end, which a handler of the log may hold up.
_PATIENCE = 1.0


def set_watchdog(loop: EventLoop, seconds: float) -> None:
    """Have a thread report what blocks the running loop for longer than `seconds`, while it does.

    0, the default, is off. A report is a warning of the `asyncio` logger: for how long so far, in which task, and the
    stack of the loop's thread at this moment. It comes after one to one and a half times `seconds`, then after about
    two, four, eight times `seconds` and so on. When the loop is back another warning says how long it took.

    The thread exists while the loop runs. Twice within `seconds` it looks, and a loop that is awake gets a callback to
    answer; one that sleeps is neither reported nor woken. On a running loop, where only its own thread may call this,
    the change takes effect at once. New loops begin with what the environment variable FERROLOOP_WATCHDOG said when
    ferroloop was imported.

    Raises ValueError for a negative number, for more than `threading.TIMEOUT_MAX`, and for NaN; TypeError for what is
    no number.
    """
    loop._watchdog_limit = _checked(seconds)
    if loop.is_running():
        if loop._watchdog_limit:
            start_watchdog(loop)
        else:
            stop_watchdog(loop)


def get_watchdog(loop: EventLoop) -> float:
    """Return after how many seconds the watchdog reports a blocked loop; 0 if there is no watchdog."""
    return loop._watchdog_limit


def start_watchdog(loop: EventLoop) -> None:
    """In the loop's thread, in place of an earlier one. That no thread is to be had is no reason not to run."""
    stop_watchdog(loop)
    try:
        loop._watchdog = Watchdog(loop, loop._watchdog_limit)
        loop._watchdog.start()
    except (RuntimeError, OSError) as exc:
        logger.warning("The event loop runs without its watchdog: %s", exc)


def stop_watchdog(loop: EventLoop) -> None:
    """In the loop's thread."""
    if loop._watchdog is not None:
        loop._watchdog.stop()
        loop._watchdog = None


class Watchdog:
    """Watches one run. It does not keep the loop alive, should somebody drop that without ending the run."""

    def __init__(self, loop: EventLoop, limit: float) -> None:
        self._loop = weakref.ref(loop)
        self._limit = limit
        self._pause = max(limit / _LOOKS, _SHORTEST_PAUSE)
        self._processor = _Processor()
        self._beat: _Beat | None = None
        # Released when the thread is to end. An Event has a lock inside, which a fork could leave taken.
        self._end = threading.Lock()
        self._end.acquire()
        self._thread = threading.Thread(target=self._watch, name="ferroloop-watchdog", daemon=True)

    def start(self) -> None:
        """Raises RuntimeError if no thread can be started."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for that, though not for ever; once more if a KeyboardInterrupt came."""
        if self._end.locked():
            self._end.release()
        if self._thread.is_alive():  # in a forked child it is not
            self._thread.join(_PATIENCE)

    def _watch(self) -> None:
        due = time.monotonic()
        # Of a run that nobody ends, the loop may be closed, or its thread gone.
        with contextlib.suppress(RuntimeError, OSError):
            while not self._end.acquire(timeout=max(due - time.monotonic(), 0)) and self._look(due):
                due = time.monotonic() + self._pause
        self._settle()

    def _look(self, due: float) -> bool:
        """False if there is nothing left to watch."""
        loop = self._loop()
        if loop is None or not loop.is_running():
            return False
        if self._beat is not None and self._beat.answered is not None:
            self._settle()
        late = time.monotonic() - due
        if not self._processor.was_busy() and late > self._pause:
            # The process was stopped, or had no processor. (A late watchdog and a busy loop mean that the loop's thread
            # kept the GIL, as C code may.) What happened since the last look is not known and counts for nothing.
            due += late
            if self._beat is not None:
                self._beat.sent += late + self._pause
        if self._beat is None and not loop._is_asleep():
            self._beat = _Beat(due, self._limit)
            loop.call_soon_threadsafe(self._beat.answer)
        if self._beat is not None and self._beat.taken() >= self._beat.next_report:
            _report(loop, self._beat)
        return True

    def _settle(self) -> None:
        """The loop is back, or its run over."""
        if self._beat is not None:
            _report_end(self._beat)
        self._beat = None


class _Beat:
    """A callback that the loop answers by running it."""

    def __init__(self, sent: float, limit: float) -> None:
        self.sent = sent
        self.answered: float | None = None
        self.next_report = limit
        self.reported = False

    def answer(self) -> None:
        """In the loop's thread."""
        self.answered = time.monotonic()

    def taken(self) -> float:
        """For how many seconds the loop has not answered, or had not."""
        return (time.monotonic() if self.answered is None else self.answered) - self.sent


class _Processor:
    """How much of it the loop's thread uses."""

    def __init__(self) -> None:
        of_thread = getattr(time, "pthread_getcpuclockid", None)
        # macOS tells it of the whole process only.
        self._clock = of_thread(threading.get_ident()) if of_thread else time.CLOCK_PROCESS_CPUTIME_ID
        self._asked = time.monotonic()
        self._used = time.clock_gettime(self._clock)

    def was_busy(self) -> bool:
        """True if the thread has computed for most of the time since the last call."""
        now, used = time.monotonic(), time.clock_gettime(self._clock)
        busy = used - self._used > (now - self._asked) / 2
        self._asked, self._used = now, used
        return busy


def _report(loop: EventLoop, beat: _Beat) -> None:
    taken = beat.taken()
    while beat.next_report <= taken:
        beat.next_report *= 2
    # Other people's code: the repr of a task, the filters of the logger. And the run may be over.
    with contextlib.suppress(Exception):
        # No frames, as whoever has them when their functions return has their variables, too.
        stack = traceback.walk_stack(sys._current_frames()[loop._thread_id or 0])
        places = [(frame.f_code.co_filename, line, frame.f_code.co_name, None) for frame, line in stack]
        culprit = _running(loop)
        if beat.answered is None:  # else they may be those of something else
            beat.reported = True
            logger.warning(
                "The event loop has been blocked for %.3f seconds by %s\nIts thread (most recent call last):\n%s",
                taken,
                culprit,
                "".join(traceback.StackSummary.from_list(places[::-1]).format()).rstrip(),
            )


def _report_end(beat: _Beat) -> None:
    if beat.reported:
        with contextlib.suppress(Exception):
            logger.warning("The event loop was blocked for %.3f seconds", beat.taken())


def _running(loop: EventLoop) -> str:
    """The task that is running; what else may be is known in debug mode only."""
    if (task := asyncio.current_task(loop)) is not None:
        return running_task_text(loop, task)
    return "a callback" if loop._current_handle is None else repr(loop._current_handle)


def _checked(seconds: float) -> float:
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise ValueError(f"a watchdog waits for 0 to {threading.TIMEOUT_MAX:g} seconds, got {seconds!r}")
    return float(seconds)


def default_watchdog() -> float:
    """What new loops begin with, by the environment."""
    return default("FERROLOOP_WATCHDOG", lambda text: _checked(float(text)), "0")
