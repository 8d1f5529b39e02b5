"""`python -m ferroloop dump PID`: a look at a process that knows nothing of it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import loops
from support.remote import needs_remote_exec, run_command, running
from support.scripts import Script

pytestmark = pytest.mark.skipif(loops.ORACLE_ALONE, reason="oracle-only run")

Dump = Callable[..., Script]

SLEEPING = """
async def main():
    asyncio.get_running_loop().call_later(1000, print, "the timer")
    print("ready", flush=True)
    await asyncio.sleep(1000)

ferroloop.run(main())
"""


@pytest.fixture
def dump(tmp_path: Path) -> Iterator[Dump]:
    """Run the command; nothing may be left where it makes its files."""
    place = tmp_path / "temporary"
    place.mkdir()

    def dump(pid: object, *options: str) -> Script:
        return run_command(place, "dump", str(pid), *options)

    yield dump
    assert list(place.iterdir()) == []


@needs_remote_exec
def test_a_loop_that_hangs(dump: Dump) -> None:
    """In Python code: the task and the line that it hangs in; its program goes on as if nothing had been."""
    code = """
        def spin_for_ever():
            while True:
                pass

        async def main():
            print("ready", flush=True)
            spin_for_ever()

        ferroloop.run(main())
    """
    with running(code) as process:
        script = dump(process.pid, "--timeout", "60")
        assert (script.code, script.err) == (0, "")
        assert script.out.startswith("<EventLoop running=True closed=False debug=False>\niterations ")
        assert "\ntask <Task pending name='Task-1' coro=<main() running at" in script.out
        assert "Its thread (most recent call last):\n" in script.out
        assert "spin_for_ever" in script.out.splitlines()[-1]
        assert process.poll() is None


@needs_remote_exec
def test_a_loop_that_sleeps(dump: Dump) -> None:
    """In epoll_wait, with nothing to do for long: it is woken, again and again, and sleeps on."""
    with running(SLEEPING) as process:
        for _ in range(2):
            script = dump(process.pid, "--timeout", "60")
            assert (script.code, script.err) == (0, "")
            assert re.search(r"^timer in \d+\.\d+ s <TimerHandle .*print", script.out, re.MULTILINE)
            assert script.out.endswith(", in run_forever\n")
        assert process.poll() is None


@needs_remote_exec
def test_nothing_that_the_program_could_see(dump: Dump) -> None:
    """No module, no variable, no output, no signal, and its context and loop are as they were."""
    code = """
        import contextvars, gc, signal, sys  # gc is built in: the one module that a look imports
        got = []
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            try:
                signal.signal(number, lambda *args: got.append(args))
            except OSError:  # some are the C library's own
                pass

        async def main():
            loop = asyncio.get_running_loop()
            asked = asyncio.Event()
            loop.add_reader(0, asked.set)
            loop.dump(open("/dev/null", "w"))
            def known():
                context = {variable.name: value for variable, value in contextvars.copy_context().items()}
                return set(sys.modules), set(globals()), context, asyncio.all_tasks()
            before = known()
            print("ready", flush=True)
            await asked.wait()
            print(before == known(), got)

        before = ()
        ferroloop.run(main())
    """
    with running(code) as process:
        assert dump(process.pid, "--timeout", "60").code == 0
        assert process.communicate("go on\n", timeout=60) == ("True []\n", "")


@needs_remote_exec
def test_a_loop_in_another_thread(dump: Dump) -> None:
    """Its stack is that thread's; a loop that is closed is none, and one that does not run has no thread."""
    code = """
        async def elsewhere():
            print("ready", flush=True)
            await asyncio.sleep(1000)

        def in_the_thread():
            ferroloop.run(elsewhere())

        ferroloop.run(asyncio.sleep(0))
        waiting = ferroloop.new_event_loop()
        threading.Thread(target=in_the_thread, daemon=True).start()
        while True:
            time.sleep(0.01)
    """
    with running(code) as process:
        script = dump(process.pid, "--timeout", "60")
        assert (script.code, script.err) == (0, "")
        assert script.out.count("<EventLoop running=True") == script.out.count("Its thread (") == 1
        assert (
            script.out.count("<EventLoop running=False closed=False") == script.out.count("<EventLoop running=F") == 1
        )
        assert "in in_the_thread" in script.out
        assert "in <module>" not in script.out


@needs_remote_exec
@pytest.mark.parametrize(
    ("imports", "answer"),
    [
        ("import time\n", "The process has not imported ferroloop.\n"),
        ("import time, ferroloop\n", "The process has no open loop of ferroloop's.\n"),
    ],
)
def test_a_process_without_loops(dump: Dump, imports: str, answer: str) -> None:
    """Is told apart from one that does not answer."""
    with running("print('ready', flush=True)\nwhile True: time.sleep(0.01)", imports) as process:
        assert dump(process.pid, "--timeout", "60") == (0, answer, "")


@needs_remote_exec
def test_a_process_that_does_not_answer(dump: Dump) -> None:
    """Its main thread waits for a lock: that is said, and when it has the lock it does not look for files."""
    code = """
        lock = threading.Lock()
        lock.acquire()
        threading.Thread(target=lambda: (input(), lock.release()), daemon=True).start()
        print("ready", flush=True)
        lock.acquire()
        print("went on")
    """
    with running(code) as process:
        script = dump(process.pid, "--timeout", "0.2")
        assert (script.code, script.out) == (1, "")
        assert script.err.startswith(f"The main thread of process {process.pid} has not run any Python code for 0.2 s")
        assert process.communicate("go on\n", timeout=60) == ("went on\n", "")


@needs_remote_exec
def test_no_process(dump: Dump) -> None:
    """One that has ended and been waited for."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    for pid in process.pid, 10**30:
        assert dump(pid) == (1, "", f"There is no process {pid}.\n")


@needs_remote_exec
def test_no_python(dump: Dump) -> None:
    """What the system's words are, and what it takes."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        script = dump(process.pid)
        assert (script.code, script.out) == (1, "")
        assert script.err.startswith(f"Process {process.pid} cannot be looked into: ")
        assert "a CPython of the same version as this one" in script.err


@pytest.mark.skipif(hasattr(sys, "remote_exec"), reason="this Python has sys.remote_exec")
def test_python_that_is_too_old(dump: Dump) -> None:
    """What to use instead."""
    script = dump(os.getpid())
    assert (script.code, script.out) == (1, "")
    assert script.err.startswith("dump needs Python 3.14 or newer, here and in the process.")


@pytest.mark.parametrize("arguments", [("0",), ("none",), ("1", "--timeout", "0"), ("1", "--timeout", "nan")])
def test_arguments_refused(dump: Dump, arguments: tuple[str, ...]) -> None:
    """With the usage."""
    script = dump(*arguments)
    assert script.code == 2
    assert script.err.startswith("usage: python -m ferroloop dump")
