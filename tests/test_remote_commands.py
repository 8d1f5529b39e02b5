"""`python -m ferroloop dump PID` and `top PID`: what they share, which is asking another process."""

import os
import subprocess
import sys

import pytest
from support import loops
from support.remote import needs_remote_exec, run_command, running

pytestmark = [
    pytest.mark.skipif(loops.ORACLE_ALONE, reason="oracle-only run"),
    pytest.mark.parametrize("command", ["dump", "top"]),
]


@needs_remote_exec
@pytest.mark.parametrize(
    ("imports", "answer"),
    [
        ("import time\n", "The process has not imported ferroloop.\n"),
        ("import time, ferroloop\n", "The process has no open loop of ferroloop's.\n"),
    ],
)
def test_a_process_without_loops(command: str, imports: str, answer: str) -> None:
    """Is told apart from one that does not answer."""
    with running("print('ready', flush=True)\nwhile True: time.sleep(0.01)", imports) as process:
        script = run_command(command, str(process.pid), "--timeout", "60")
    assert script == ((0, answer, "") if command == "dump" else (1, "", answer))


@needs_remote_exec
def test_a_loop_that_fails_to_tell(command: str) -> None:
    """One of the program's own class: what it raises is told, and nothing is said in its process."""
    code = """
        class Loop(ferroloop.EventLoop):
            def is_closed(self):
                if failing:
                    raise OSError("no idea")
                return super().is_closed()

        failing = False
        loop = Loop()
        failing = True
        print("ready", flush=True)
        while True:
            time.sleep(0.01)
    """
    with running(code) as process:
        script = run_command(command, str(process.pid), "--timeout", "60")
        answer = "Looking failed with OSError('no idea')\n"
        assert script == ((0, answer, "") if command == "dump" else (1, "", answer))
        process.kill()
        assert process.communicate(timeout=60) == ("", "")


@needs_remote_exec
def test_a_process_that_does_not_answer(command: str) -> None:
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
        script = run_command(command, str(process.pid), "--timeout", "0.2")
        assert (script.code, script.out) == (1, "")
        assert script.err.startswith(f"The main thread of process {process.pid} has not run any Python code for 0.2 s")
        assert process.communicate("go on\n", timeout=60) == ("went on\n", "")


@needs_remote_exec
def test_no_process(command: str) -> None:
    """One that has ended and been waited for."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    for pid in process.pid, 10**30:
        assert run_command(command, str(pid)) == (1, "", f"There is no process {pid}.\n")


@needs_remote_exec
def test_no_python(command: str) -> None:
    """What the system's words are, and what it takes."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        script = run_command(command, str(process.pid))
        assert (script.code, script.out) == (1, "")
        assert script.err.startswith(f"Process {process.pid} cannot be looked into: ")
        assert "a CPython of the same version as this one" in script.err


@pytest.mark.skipif(hasattr(sys, "remote_exec"), reason="this Python has sys.remote_exec")
def test_python_that_is_too_old(command: str) -> None:
    """What to use instead."""
    script = run_command(command, str(os.getpid()))
    assert (script.code, script.out) == (1, "")
    assert script.err.startswith(f"{command} needs Python 3.14 or newer, here and in the process.")


@pytest.mark.parametrize("arguments", [("0",), ("none",), ("1", "--timeout", "0"), ("1", "--timeout", "nan")])
def test_arguments_refused(command: str, arguments: tuple[str, ...]) -> None:
    """With the usage."""
    script = run_command(command, *arguments)
    assert script.code == 2
    assert script.err.startswith(f"usage: python -m ferroloop {command}")
