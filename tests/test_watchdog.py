"""The watchdog, `loop.set_watchdog`: what blocks the loop is told of while it does (S8.6 tells it afterwards)."""

import asyncio
import gc
import importlib
import linecache
import logging
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import NewLoop, Run
from support.scripts import Script, environment

pytestmark = ferroloop_only("asyncio has no such option", spec="S8.6")

RunScript = Callable[..., Script]
# Seconds. Short, as most of the tests wait for reports; what must not be reported has longer.
LIMIT = 0.05
SOON = 20.0


def wait_for(condition: Callable[[], object]) -> None:
    """Block this thread until the condition holds."""
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def watchers() -> list[threading.Thread]:
    """The threads of all watchdogs."""
    return [thread for thread in threading.enumerate() if thread.name == "ferroloop-watchdog"]


@pytest.fixture
def log(logged: LogList) -> Iterator[LogList]:
    """The log; and no thread is left when the test is over."""
    yield logged
    assert watchers() == []


def reports(log: LogList) -> list[str]:
    """What was said of blocks under way."""
    return [text for text in log.texts(logging.WARNING) if text.startswith("The event loop has been blocked for ")]


def ends(log: LogList) -> list[str]:
    """What was said of blocks that are over."""
    return [text for text in log.texts(logging.WARNING) if text.startswith("The event loop was blocked for ")]


def seconds(text: str) -> float:
    found = re.search(r"for ([0-9.]+) seconds", text)
    assert found
    return float(found[1])


def culprit(log: LogList, count: int = 1) -> None:
    """Block until the watchdog has said so."""
    wait_for(lambda: len(reports(log)) >= count)


def test_option(loop: Any) -> None:
    """Off, until somebody asks for it."""
    assert loop.get_watchdog() == 0
    loop.set_watchdog(2)
    assert loop.get_watchdog() == 2
    loop.set_watchdog(0)
    assert loop.get_watchdog() == 0


@pytest.mark.parametrize("wrong", [-1e-9, float("nan"), float("inf"), -float("inf"), 10**400])
def test_seconds_out_of_range(loop: Any, wrong: float) -> None:
    """A wrong number changes nothing."""
    loop.set_watchdog(2)
    with pytest.raises(ValueError, match=r"a watchdog waits for 0 to [0-9.e+]+ seconds, got "):
        loop.set_watchdog(wrong)
    assert loop.get_watchdog() == 2


@pytest.mark.parametrize("wrong", ["0.1", None, b"1"])
def test_no_number(loop: Any, wrong: Any) -> None:
    """Nor does what is not a number."""
    with pytest.raises(TypeError):
        loop.set_watchdog(wrong)
    assert loop.get_watchdog() == 0


@pytest.mark.parametrize(("value", "expected"), [("0.5", "0.5"), ("0", "0.0"), ("", "0.0")])
def test_environment(run_script: RunScript, value: str, expected: str) -> None:
    """FERROLOOP_WATCHDOG is what new loops begin with."""
    code = "loop = new_event_loop(); print(loop.get_watchdog()); loop.close()"
    assert run_script(code, env=environment(FERROLOOP_WATCHDOG=value)).out.strip() == expected


@pytest.mark.parametrize(("value", "words"), [("on", "could not convert"), ("-1", "a watchdog waits for 0 to ")])
def test_wrong_environment(run_script: RunScript, value: str, words: str) -> None:
    """Who reads that the import failed learns which variable to look at."""
    script = run_script("", env=environment(FERROLOOP_WATCHDOG=value), check=False)
    assert f"ValueError: FERROLOOP_WATCHDOG: {words}" in script.err


def test_environment_changed_later(run_script: RunScript) -> None:
    """What it says after the import concerns nobody."""
    code = """
import os
os.environ["FERROLOOP_WATCHDOG"] = "on"
loop = new_event_loop()
loop.set_watchdog(1)
print(loop.get_watchdog())
loop.close()
"""
    assert run_script(code, env=environment(FERROLOOP_WATCHDOG="")).out.strip() == "1.0"


def test_watched_by_the_environment(run_script: RunScript) -> None:
    """Without a line in the program, nor a configuration of its log."""
    code = """
import time
def culprit():
    time.sleep(1)
    loop.stop()
loop = new_event_loop()
loop.call_soon(culprit)
loop.run_forever()
loop.close()
"""
    assert ", in culprit\n" in run_script(code, env=environment(FERROLOOP_WATCHDOG="0.05")).err


def test_closed_loop(new_loop: NewLoop) -> None:
    """The option outlives the loop, as the debug mode does."""
    loop = new_loop()
    loop.close()
    loop.set_watchdog(2)
    assert loop.get_watchdog() == 2


def test_report_while_blocked(loop: Any, log: LogList) -> None:
    """It comes before the block ends, with the task and the stack."""

    async def guilty() -> None:
        culprit(log)

    loop.set_watchdog(LIMIT)
    loop.run_until_complete(guilty())
    report = reports(log)[0]
    assert re.match(r"The event loop has been blocked for [0-9.]+ seconds by <Task .*coro=<.*guilty\(\)", report)
    assert "\nIts thread (most recent call last):\n  File " in report
    assert ", in guilty\n    culprit(log)\n" in report
    assert ", in culprit\n" in report
    assert seconds(report) >= LIMIT


def test_report_of_a_callback(loop: Any, log: LogList) -> None:
    """The loop notes which one is running in debug mode only; the stack has it always."""

    def guilty() -> None:
        culprit(log, count=len(reports(log)) + 1)
        loop.stop()

    loop.set_watchdog(LIMIT)
    for debug in False, True:
        loop.set_debug(debug)
        loop.call_soon(guilty)
        loop.run_forever()
    first, last = reports(log)[0], reports(log)[-1]
    assert " seconds by a callback\n" in first
    assert " seconds by <Handle test_report_of_a_callback.<locals>.guilty() at " in last
    assert ", in guilty\n" in first


def test_growing_distance(loop: Any, log: LogList) -> None:
    """Each report has at least twice the time of the one before, less what that came late."""
    loop.set_watchdog(LIMIT)
    loop.call_soon(culprit, log, 5)
    loop.call_soon(loop.stop)
    loop.run_forever()
    for index, text in enumerate(reports(log)):
        assert seconds(text) >= LIMIT * 2**index


def test_end_of_a_block(loop: Any, run: Run, log: LogList) -> None:
    """One line, as soon as the loop is back; and the next block is another one."""
    limit = 0.3

    async def main() -> None:
        for blocks in 1, 2:
            culprit(log, count=2 * blocks)
            async with asyncio.timeout(SOON):
                while len(ends(log)) < blocks:
                    await asyncio.sleep(0.001)
            first, second = reports(log)[-2:]
            assert limit <= seconds(first) < seconds(second) <= seconds(ends(log)[-1])

    loop.set_watchdog(limit)
    run(main(), SOON)
    assert (len(reports(log)), len(ends(log))) == (4, 2)


def test_end_with_the_run(loop: Any, log: LogList) -> None:
    """The loop does not come back to answer the watchdog, which tells the end all the same."""
    loop.set_watchdog(LIMIT)
    loop.call_soon(loop.stop)
    loop.call_soon(culprit, log)
    loop.run_forever()
    assert len(ends(log)) == 1


def test_a_late_block(loop: Any, run: Run, log: LogList) -> None:
    """A loop that was asleep at the last look is looked at again, soon enough."""
    limit = 0.4

    async def main() -> float:
        await asyncio.sleep(1.1 * limit)
        started = time.monotonic()
        culprit(log, count=len(reports(log)) + 1)
        return time.monotonic() - started

    loop.set_watchdog(limit)
    taken = [run(main(), SOON) for _ in range(3)]
    # About 1.4 times as long, and once what a busy machine takes.
    assert 0.9 * limit < min(taken) < 2 * limit


def test_idle(loop: Any, run: Run, log: LogList) -> None:
    """A loop that sleeps is neither reported nor woken."""
    beats: list[float] = []
    call_soon_threadsafe = loop.call_soon_threadsafe

    def beat(*args: Any, **keywords: Any) -> Any:
        beats.append(time.monotonic())
        return call_soon_threadsafe(*args, **keywords)

    loop.call_soon_threadsafe = beat
    loop.set_watchdog(0.2)
    run(asyncio.sleep(2), SOON)
    # At the beginning and at the end of the run it may be awake.
    assert len(beats) <= 3
    assert reports(log) == []


def test_busy(loop: Any, log: LogList) -> None:
    """Short callbacks without a pause between them: there is always one running, and that is no block."""
    limit = 1.0
    end = time.monotonic() + 2 * limit

    def work() -> None:
        if time.monotonic() < end:
            loop.call_soon(work)
        else:
            loop.stop()

    loop.set_watchdog(limit)
    loop.call_soon(work)
    loop.run_forever()
    assert reports(log) == []


def test_many_callbacks_that_take_long_together(loop: Any, log: LogList) -> None:
    """Nothing else is served meanwhile, whoever has queued them."""
    for _ in range(1000):
        loop.call_soon(lambda: reports(log) or time.sleep(0.01))
    loop.call_soon(loop.stop)
    loop.set_watchdog(LIMIT)
    loop.run_forever()
    assert len(reports(log)) >= 1


def test_what_keeps_the_gil(loop: Any, log: LogList) -> None:
    """The watchdog cannot look before it is over, but sees then who it was."""

    def guilty(size: int) -> None:
        sum(range(size))

    def size_of(seconds: float) -> int:
        started = time.perf_counter()
        guilty(1_000_000)
        return int(1_000_000 * seconds / (time.perf_counter() - started))

    loop.set_watchdog(LIMIT)
    deadline = time.monotonic() + SOON
    # A machine that is busy otherwise may leave us too little of a processor, which is no block.
    while not reports(log) and time.monotonic() < deadline:
        loop.call_later(2 * LIMIT, guilty, size_of(8 * LIMIT))
        loop.call_later(2 * LIMIT, loop.stop)
        loop.run_forever()
    assert ", in guilty\n    sum(range(size))" in reports(log)[0]


def test_a_stopped_process(run_script: RunScript) -> None:
    """SIGSTOP in the middle of a callback that is short but for that: nobody has blocked the loop."""
    code = """
import os, signal, subprocess, sys, time
loop = new_event_loop()
loop.set_watchdog(1)
def stopped():
    time.sleep(0.6)
    wake_up = f"import os, time; time.sleep(1.5); os.kill({os.getpid()}, {signal.SIGCONT.value})"
    with subprocess.Popen([sys.executable, "-c", wake_up]):
        os.kill(os.getpid(), signal.SIGSTOP)
loop.call_soon(stopped)
loop.call_soon(loop.stop)
loop.run_forever()
loop.close()
"""
    assert "blocked" not in run_script(code).err


def test_stopped_after_a_block(loop: Any, run: Run, log: LogList) -> None:
    """A block that was told of and is over took as long as it took, however late the watchdog comes."""
    watchdog = importlib.import_module("ferroloop._watchdog")

    async def main() -> None:
        now = time.monotonic()
        watching = watchdog.Watchdog(loop, 1.0)
        watching._processor.was_busy = bool
        watching._beat = watchdog._Beat(now - 2, 1.0)
        watching._beat.reported, watching._beat.answered = True, now - 1
        assert watching._look(now - 10)
        assert ends(log) == ["The event loop was blocked for 1.000 seconds"]

    run(main())


def test_variables_die_at_home(loop: Any, log: LogList, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report does not keep what the culprit's variables hold: it may outlast the culprit."""
    over = threading.Event()
    reached = threading.Event()
    died: list[str] = []

    class Thing:
        def __del__(self) -> None:
            died.append(threading.current_thread().name)

    def read_source(*_: Any) -> str:
        reached.set()
        over.wait(SOON)
        return ""

    def guilty() -> None:
        thing = Thing()
        reached.wait(SOON)
        assert thing

    for function in "checkcache", "getline":
        monkeypatch.setattr(linecache, function, read_source)
    loop.set_watchdog(LIMIT)
    loop.call_soon(guilty)
    loop.call_soon(over.set)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert died == [threading.main_thread().name]


def test_off(loop: Any, run: Run, log: LogList) -> None:
    """No thread."""

    async def main() -> list[threading.Thread]:
        return watchers()

    assert run(main()) == []


def leave_by_return(loop: Any) -> None:
    loop.run_until_complete(asyncio.sleep(0.001))


def leave_by_stop(loop: Any) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


def leave_by_error(loop: Any) -> None:
    def leave() -> None:
        raise KeyboardInterrupt

    loop.call_soon(leave)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()


def leave_between(loop: Any) -> None:
    loop._run_forever_setup()
    loop._run_once()
    loop._run_forever_cleanup()


@pytest.mark.parametrize("leave", [leave_by_return, leave_by_stop, leave_by_error, leave_between])
def test_the_thread_ends_with_the_run(loop: Any, log: LogList, leave: Callable[[Any], None]) -> None:
    """However it ends, and each run has its own."""
    loop.set_watchdog(LIMIT)
    assert watchers() == []
    for _ in range(2):
        seen: list[threading.Thread] = []
        loop.call_soon(lambda seen=seen: seen.extend(watchers()))
        leave(loop)
        assert len(seen) == 1
        assert watchers() == []


def test_an_interrupted_end(loop: Any, run: Run, log: LogList) -> None:
    """A thread that a KeyboardInterrupt has left from an earlier run does not stay beside the new one."""

    async def main() -> list[threading.Thread]:
        return watchers()

    loop.set_watchdog(3600)
    hooks = sys.get_asyncgen_hooks()
    loop._run_forever_setup()
    loop._end_run()
    left = watchers()
    assert len(left) == 1
    try:
        assert len(run(main())) == 1
    finally:
        sys.set_asyncgen_hooks(*hooks)
    assert not left[0].is_alive()


def test_changed_while_it_runs(loop: Any, run: Run, log: LogList) -> None:
    """At once: on, shorter, off."""

    async def main() -> None:
        loop.set_watchdog(3600)
        assert len(watchers()) == 1
        loop.set_watchdog(LIMIT)
        assert len(watchers()) == 1
        culprit(log)
        loop.set_watchdog(0)
        assert watchers() == []

    run(main(), SOON)
    assert len(ends(log)) == 1


def test_no_thread_to_be_had(loop: Any, run: Run, log: LogList, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no reason not to run."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    loop.set_watchdog(LIMIT)
    assert loop.run_until_complete(asyncio.sleep(0, "done")) == "done"
    assert log.texts(logging.WARNING) == ["The event loop runs without its watchdog: can't start new thread"]


def test_a_filter_that_raises(loop: Any, log: LogList) -> None:
    """Neither the loop nor the watchdog minds."""
    seen: list[str] = []

    def refuse(record: logging.LogRecord) -> bool:
        if threading.current_thread() in watchers():
            seen.append(record.getMessage())
            raise LookupError
        return True

    logger = logging.getLogger("asyncio")
    logger.addFilter(refuse)
    try:
        loop.set_watchdog(LIMIT)
        loop.call_soon(wait_for, lambda: len(seen) >= 2)
        loop.call_soon(loop.stop)
        loop.run_forever()
    finally:
        logger.removeFilter(refuse)
    assert all(text.startswith("The event loop ") for text in seen)


def test_a_log_that_hangs(loop: Any, log: LogList) -> None:
    """The run ends all the same, and the thread when it can."""
    reached, go_on = threading.Event(), threading.Event()

    def hang(record: logging.LogRecord) -> bool:
        if record.threadName == "ferroloop-watchdog":
            reached.set()
            go_on.wait(SOON)
        return True

    logger = logging.getLogger("asyncio")
    logger.addFilter(hang)
    try:
        loop.set_watchdog(LIMIT)
        loop.call_soon(reached.wait, SOON)
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert len(watchers()) == 1
    finally:
        go_on.set()
        logger.removeFilter(hang)
    wait_for(lambda: watchers() == [])


def test_the_loop_is_collected(loop_class: Any, log: LogList) -> None:
    """Nothing of a run that is over keeps it."""
    loop = loop_class()
    loop.set_watchdog(LIMIT)
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


def test_a_run_without_an_end(run_script: RunScript) -> None:
    """Nor does the thread of a run that nobody ends: it goes with the loop."""
    run_script(
        """
        import asyncio, gc, sys, threading, time, weakref
        loop = new_event_loop()
        loop.set_watchdog(0.01)
        loop._run_forever_setup()
        assert threading.active_count() == 2
        asyncio._set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)
        gone = weakref.ref(loop)
        del loop
        while gone() is not None or threading.active_count() > 1:
            gc.collect()
            time.sleep(0.01)
        """
    )


def test_interpreter_exit(run_script: RunScript) -> None:
    """With a loop in a daemon thread, blocked or not, and one in an exit function."""
    run_script(
        """
        import asyncio, atexit, threading, time
        def serve(blocked):
            loop = new_event_loop()
            loop.set_watchdog(0.01)
            loop.call_soon(started.wait)
            if blocked:
                loop.call_soon(time.sleep, 60)
            loop.run_forever()
        def last():
            loop = new_event_loop()
            loop.set_watchdog(0.01)
            loop.run_until_complete(asyncio.sleep(0.01))
            loop.close()
        atexit.register(last)
        started = threading.Barrier(3)
        for blocked in True, False:
            threading.Thread(target=serve, args=(blocked,), daemon=True).start()
        started.wait()
        time.sleep(0.1)
        """
    )


FORK = """
import asyncio, os, signal, threading, time

def in_child(work):
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        return work()
    assert os.waitpid(pid, 0)[1] == 0

def watched():
    return [thread.name for thread in threading.enumerate()].count("ferroloop-watchdog")

loop = new_event_loop()
loop.set_watchdog(0.05)
"""


def test_fork(run_script: RunScript) -> None:
    """The child has no such thread; its own loops have."""
    script = run_script(
        FORK
        + """
def culprit():
    time.sleep(1)
def work():
    assert watched() == 0
    asyncio._set_running_loop(None)
    own = new_event_loop()
    own.set_watchdog(0.05)
    own.call_soon(culprit)
    own.run_until_complete(asyncio.sleep(0.01))
    own.close()
    assert watched() == 0
    os._exit(0)
async def main():
    in_child(work)
    assert watched() == 1
loop.run_until_complete(main())
loop.close()
""",
        "-W",
        "ignore",
    )
    assert ", in culprit\n" in script.err


def test_a_forked_child_that_leaves_the_run(run_script: RunScript) -> None:
    """It does not wait for a thread that only its parent has."""
    run_script(
        FORK
        + """
def fork():
    in_child(leave)
    loop.stop()
def leave():
    raise KeyboardInterrupt
loop.call_soon(fork)
try:
    loop.run_forever()
except KeyboardInterrupt:
    loop.close()
    os._exit(0)
loop.close()
""",
        "-W",
        "ignore",
    )
