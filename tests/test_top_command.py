"""`python -m ferroloop top PID`: numbers of a process that knows nothing of it."""

import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support import loops
from support.remote import needs_remote_exec, run_command, running, surroundings
from support.scripts import Script

pytestmark = pytest.mark.skipif(loops.ORACLE_ALONE, reason="oracle-only run")

TITLES = ["thread", "busy", "iter/s", "calls/s", "ready", "timers", "fds", "lookups", "work", "ms", "late", "ms"]

SLEEPING = """
    async def main():
        print("ready", flush=True)
        await asyncio.sleep(1000)

    ferroloop.run(main())
"""

# Says at the end which threads there are.
TELLING = """
    import signal

    async def main():
        asked = asyncio.Event()
        asyncio.get_running_loop().add_reader(0, asked.set)
        print("ready", flush=True)
        await asked.wait()
        while threading.active_count() > 1:
            await asyncio.sleep(0.01)
        print("alone")

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    ferroloop.run(main())
"""


def top(pid: int, *options: str) -> Script:
    """Run the command."""
    return run_command("top", str(pid), *options)


def rows(script: Script) -> list[list[str]]:
    """The cells of each line but the titles."""
    assert (script.code, script.err) == (0, "")
    titles, *lines = script.out.splitlines()
    assert titles.split() == TITLES
    return [line.split() for line in lines]


def patient(count: int, every: float = 0.2) -> tuple[str, ...]:
    return "--timeout", "60", "--every", str(every), "--count", str(count)


@needs_remote_exec
def test_a_loop_that_sleeps() -> None:
    """It is woken to be asked, and then sleeps on: the thread that tells does not wake it."""
    with running(SLEEPING) as process:
        for row in rows(top(process.pid, *patient(3))):
            thread, busy, *numbers = row
            assert thread == "MainThread"
            assert int(busy.removesuffix("%")) < 50
            assert numbers[2:6] == ["0", "1", "0", "0"]


@needs_remote_exec
def test_a_loop_that_works() -> None:
    """Ten callbacks a turn, each turn as long as a millisecond at least; a timer for each, and one for later."""
    code = """
        async def main():
            loop = asyncio.get_running_loop()
            loop.call_later(1000, int)
            print("ready", flush=True)
            while True:
                for _ in range(10):
                    loop.call_soon(int)
                time.sleep(0.001)
                await asyncio.sleep(0.001)

        ferroloop.run(main())
    """
    with running(code) as process:
        lines = rows(top(process.pid, *patient(3, 0.5)))
        assert len(lines) == 3
        for thread, busy, iterations, callbacks, _ready, timers, _fds, _lookups, work, late in lines:
            assert thread == "MainThread"
            assert 0 < int(busy.removesuffix("%")) <= 100
            assert 0 < int(iterations) < int(callbacks)
            assert 1 <= int(timers) <= 2
            assert float(work) >= 1.024
            assert float(late) > 0


@needs_remote_exec
def test_a_loop_that_hangs() -> None:
    """From one moment on: it has been found before."""
    code = """
        async def main():
            print("ready", flush=True)
            await asyncio.sleep(0.5)
            while True:
                pass

        ferroloop.run(main())
    """
    with running(code) as process:
        *_, last = rows(top(process.pid, *patient(5, 0.3)))
        assert last[:4] == ["MainThread", "100%", "0", "0"]


@needs_remote_exec
def test_loops_in_other_threads() -> None:
    """One that is closed ends, one that does not run is neither busy nor idle, and new ones are not told of."""
    code = """
        def in_a_thread(seconds):
            with asyncio.Runner(loop_factory=ferroloop.new_event_loop) as runner:
                runner.run(asyncio.sleep(seconds))

        waiting = ferroloop.new_event_loop()
        threading.Thread(target=in_a_thread, args=(1000,), daemon=True, name="long").start()
        threading.Thread(target=in_a_thread, args=(4,), daemon=True, name="short").start()
        time.sleep(0.1)
        print("ready", flush=True)
        while True:
            time.sleep(0.01)
    """
    with running(code) as process:
        lines = rows(top(process.pid, *patient(12, 0.5)))
        long = [cells for cells in lines if cells[0] == "long"]
        short = [cells for cells in lines if cells[0] == "short"]
        nowhere = [cells for cells in lines if cells[0] == "-"]
        assert len(long) == len(nowhere) == 12
        assert 1 <= len(short) < 12
        assert len(lines) == len(long) + len(short) + len(nowhere)


@needs_remote_exec
@pytest.mark.parametrize("how", ["it has counted", "interrupted", "killed", "nobody reads"])
def test_nothing_is_left(how: str) -> None:
    """However the command ends its thread does, too, and so without a signal that the program does not ignore."""
    count = ("--count", "2") if how == "it has counted" else ()
    with running(TELLING) as process, tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "ferroloop", "top", str(process.pid), "--timeout", "60", "--every", "0.1"]
        with subprocess.Popen(
            [*command, *count],
            env=surroundings(TMPDIR=place),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as top:
            assert top.stdout is not None
            assert top.stderr is not None
            assert top.stdout.readline().split() == TITLES
            if how == "interrupted":
                top.send_signal(signal.SIGINT)
            elif how == "killed":
                top.kill()
            elif how == "nobody reads":
                top.stdout.close()
            assert top.stderr.read() == ""
            assert top.wait(60) == (-signal.SIGKILL if how == "killed" else 0)
        assert process.communicate("go on\n", timeout=60) == ("alone\n", "")


@needs_remote_exec
def test_the_end_of_the_process() -> None:
    """Is said, and no failure."""
    code = """
        async def main():
            print("ready", flush=True)
            await asyncio.sleep(1)

        ferroloop.run(main())
    """
    with running(code) as process:
        script = top(process.pid, "--timeout", "60", "--every", "0.1")
        assert (script.code, script.err) == (0, "")
        assert script.out.endswith(f"\nProcess {process.pid} has ended, or has no open loop any more.\n")


@needs_remote_exec
def test_no_room_for_the_socket(tmp_path: Path) -> None:
    """unix(7): the path is too long."""
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    with running(SLEEPING) as process:
        script = run_command("top", str(process.pid), place=deep)
    assert (script.code, script.out) == (1, "")
    assert re.fullmatch(r"There can be no socket .*: AF_UNIX path too long\. Set TMPDIR to .*\n", script.err)


@pytest.mark.parametrize("arguments", [("--every", "0"), ("--every", "inf"), ("--count", "0"), ("--count", "none")])
def test_arguments_refused(arguments: tuple[str, ...]) -> None:
    """With the usage."""
    script = top(1, *arguments)
    assert script.code == 2
    assert script.err.startswith("usage: python -m ferroloop top")
