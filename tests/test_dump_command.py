"""`python -m ferroloop dump PID`: a look at a process that knows nothing of it."""

import re

import pytest
from support import loops
from support.remote import needs_remote_exec, run_command, running
from support.scripts import Script

pytestmark = pytest.mark.skipif(loops.ORACLE_ALONE, reason="oracle-only run")

SLEEPING = """
async def main():
    asyncio.get_running_loop().call_later(1000, print, "the timer")
    print("ready", flush=True)
    await asyncio.sleep(1000)

ferroloop.run(main())
"""


def dump(pid: int, *options: str) -> Script:
    """Run the command."""
    return run_command("dump", str(pid), *options)


@needs_remote_exec
def test_a_loop_that_hangs() -> None:
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
def test_a_loop_that_sleeps() -> None:
    """In epoll_wait, with nothing to do for long: it is woken, again and again, and sleeps on."""
    with running(SLEEPING) as process:
        for _ in range(2):
            script = dump(process.pid, "--timeout", "60")
            assert (script.code, script.err) == (0, "")
            assert re.search(r"^timer in \d+\.\d+ s <TimerHandle .*print", script.out, re.MULTILINE)
            assert script.out.endswith(", in run_forever\n")
        assert process.poll() is None


@needs_remote_exec
def test_nothing_that_the_program_could_see() -> None:
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
def test_a_loop_in_another_thread() -> None:
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
