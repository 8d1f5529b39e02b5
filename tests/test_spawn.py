"""S32: starting child processes: arguments, options, errors, cancellation."""

import asyncio
import errno
import logging
import os
import pathlib
import re
import resource
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.fds import open_fds
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually
from support.processes import Family, child, has_children, is_reaped
from support.turns import turn

PIPE, DEVNULL, STDOUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT


def never() -> Any:
    """A protocol factory that must not be called."""
    raise AssertionError("the protocol was made too early")


@pytest.mark.parametrize(
    ("method", "command", "options", "text"),
    [
        ("shell", 7, {}, "cmd must be a string"),
        ("shell", ["list"], {"shell": False}, "cmd must be a string"),
        ("exec", "true", {"universal_newlines": True, "shell": True}, "universal_newlines must be False"),
        ("exec", "true", {"shell": True, "bufsize": 1}, "shell must be False"),
        ("shell", "true", {"universal_newlines": True, "shell": False}, "universal_newlines must be False"),
        ("shell", "true", {"shell": False, "bufsize": 1}, "shell must be True"),
        ("exec", "true", {"bufsize": 4096, "text": True}, "bufsize must be 0"),
        ("exec", "true", {"text": True, "encoding": "utf8"}, "text must be False"),
        ("exec", "true", {"encoding": "utf8", "errors": "strict"}, "encoding must be None"),
        ("exec", "true", {"errors": "strict"}, "errors must be None"),
        ("shell", "true", {"errors": "strict"}, "errors must be None"),
    ],
)
def test_refused_arguments(loop: Loop, run: Run, method: str, command: Any, options: Any, text: str) -> None:
    """S32.1, S32.2: in this order, and before the protocol factory."""
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        run(getattr(loop, f"subprocess_{method}")(never, command, **options))


def test_failing_factory(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S32.2: it comes before the fork."""
    started: list[Any] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: started.append(args))
    with pytest.raises(AssertionError, match="too early"):
        run(loop.subprocess_exec(never, "true"))
    assert started == []


@pytest.mark.parametrize("kind", [str, os.fsencode, pathlib.Path])
def test_kinds_of_arguments(spawning: Loop, run: Run, kind: Callable[[str], Any]) -> None:
    """S32.4: text, bytes, paths."""

    async def main() -> None:
        async with child(kind("/bin/echo"), kind("one"), kind("two")) as (_, family):
            await eventually(lambda: family.over)
            assert family.output() == b"one two\n"

    run(main())


@pytest.mark.parametrize("kind", [str, os.fsencode])
def test_shell(spawning: Loop, run: Run, kind: Callable[[str], Any]) -> None:
    """S32.4, S34.7."""

    async def main() -> None:
        transport, family = await spawning.subprocess_shell(Family, kind("echo $((6 * 7)); exit 9"))
        await eventually(lambda: family.over)
        assert family.output() == b"42\n"
        assert transport.get_returncode() == 9
        transport.close()

    run(main())


@pytest.mark.parametrize(
    ("command", "options", "error"),
    [
        (["/nonexistent/program"], {}, FileNotFoundError),
        ([__file__], {}, PermissionError),
        (["true"], {"cwd": "/nonexistent"}, FileNotFoundError),
        (["true"], {"preexec_fn": lambda: 1 / 0}, subprocess.SubprocessError),
        (["tr\0ue"], {}, ValueError),
        (["true"], {"no_such_option": 1}, TypeError),
        ([7], {}, TypeError),
        (["true"], {"pass_fds": ["x"]}, (TypeError, ValueError)),
    ],
)
def test_spawn_errors(spawning: Loop, run: Run, command: Any, options: Any, error: Any) -> None:
    """S32.5: raised from the call; no descriptor and no zombie is left."""
    with pytest.raises(error):
        run(spawning.subprocess_exec(Family, *command, **options))
    assert not has_children()


@ferroloop_only("asyncio leaves children and descriptors behind", "S32.5")
def test_out_of_descriptors(loop: Loop, run: Run) -> None:
    """S32.5: in Popen or after it, nothing leaks."""

    async def main() -> list[int | None]:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(0)
        os.close(lowest)
        seen = []
        for spare in range(1, 14):
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, limits[1]))
            try:
                transport, family = await loop.subprocess_exec(Family, "true")
            except OSError as exc:
                seen.append(exc.errno)
            else:
                await eventually(lambda family=family: family.over)
                transport.close()
                seen.append(None)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        return seen

    assert set(run(main())) == {errno.EMFILE, None}
    assert not has_children()


def words(logged: LogList, level: int) -> list[str]:
    """The lines of the log that speak of processes."""
    return [text for text in logged.texts(level) if "true" in text]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "stdin=<pipe> stdout=<pipe> stderr=<pipe>"),
        ({"stdin": None, "stdout": None, "stderr": None}, ""),
        ({"stdin": DEVNULL, "stdout": PIPE, "stderr": STDOUT}, "stdin=-3 stdout=stderr=<pipe>"),
        ({"stdin": None, "stdout": None, "stderr": STDOUT}, "stderr=<stdout>"),
        ({"stdin": 0, "stderr": None}, "stdin=0 stdout=<pipe>"),
    ],
)
@pytest.mark.parametrize("method", ["exec", "shell"])
def test_debug_log(loop: Loop, run: Run, logged: LogList, method: str, options: Any, text: str) -> None:
    """S32.6, S33.17, S33.5: never the arguments, which may be secret."""
    loop.set_debug(True)

    async def main() -> tuple[Any, str]:
        start = getattr(loop, f"subprocess_{method}")
        transport, family = await start(Family, "true", *(["secret"] if method == "exec" else []), **options)
        shown = repr(transport)
        await eventually(lambda: family.over)
        transport.close()
        return transport, shown

    transport, shown = run(main())
    what = "execute program 'true'" if method == "exec" else "run shell command 'true'"
    assert f"{what} {text}".strip() in words(logged, logging.DEBUG)
    assert f"process 'true' created: pid {transport.get_pid()}" in words(logged, logging.DEBUG)
    assert f"{what}: {shown}" in words(logged, logging.INFO)
    assert any(line.endswith(" exited with return code 0") for line in logged.texts(logging.INFO))
    assert not any("secret" in line for line in logged.texts())


def test_returns_when_connected(spawning: Loop, run: Run) -> None:
    """S32.7."""

    async def main() -> None:
        async with child("cat") as (transport, family):
            assert family.events == [("made",)]
            for fd in range(3):
                assert not transport.get_pipe_transport(fd).is_closing()

    run(main())


@pytest.mark.parametrize("turns", range(8))
def test_cancelled(spawning: Loop, run: Run, turns: int) -> None:
    """S32.8: whenever that is, no process, no zombie and no descriptor is left."""
    started: list[int] = []

    class Started(subprocess.Popen):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self.pid)

    async def main() -> None:
        task = asyncio.ensure_future(spawning.subprocess_exec(Family, "sleep", "100"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            transport, _ = await task
        except asyncio.CancelledError:
            pass
        else:
            transport.close()
            await eventually(lambda: is_reaped(transport.get_pid()))
        await eventually(lambda: all(is_reaped(pid) for pid in started))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", Started)
        run(main())


@ferroloop_only("asyncio leaves descriptors open", "S33.15", sys.version_info < (3, 15))
@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
def test_pipes_cannot_be_connected(spawning: Loop, run: Run, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """S33.15, S32.8: the error goes to the creator, the child does not stay."""
    original = getattr(spawning, method)
    calls: list[Any] = []

    async def failing(factory: Any, pipe: Any) -> Any:
        calls.append(pipe)
        if len(calls) == (2 if method == "connect_read_pipe" else 1):
            raise ValueError("no")
        return await original(factory, pipe)

    monkeypatch.setattr(spawning, method, failing)
    with pytest.raises(ValueError, match=r"^no$"):
        run(spawning.subprocess_exec(Family, "sleep", "100"))
    run(asyncio.sleep(0))
    assert not has_children()
    assert all(pipe.closed for pipe in calls)


@ferroloop_only("asyncio asks its policy", "S32.9")
def test_inactive_watcher(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S32.9: refused before anything is started."""
    import ferroloop

    monkeypatch.setattr(subprocess, "Popen", never)
    watcher = ferroloop.SafeChildWatcher()
    monkeypatch.setattr(loop, "_child_watcher", lambda: watcher)
    text = "asyncio.get_child_watcher() is not activated, subprocess support is not installed."
    with pytest.raises(RuntimeError, match=f"^{re.escape(text)}$"):
        run(loop.subprocess_exec(Family, "true"))


@ferroloop_only("asyncio starts the process first", "S32.5")
@pytest.mark.parametrize("method", ["exec", "shell"])
def test_closed_loop(new_loop: Callable[[], Any], run: Run, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """S32.5: refused before anything is started."""
    monkeypatch.setattr(subprocess, "Popen", never)
    closed = new_loop()
    closed.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        run(getattr(closed, f"subprocess_{method}")(Family, "true"))


@ferroloop_only("asyncio speaks of the wait for the process, or of a process it left", "S32.5")
def test_error_outlives_the_wait(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S32.5: what is raised is what went wrong first, also where the child cannot be waited for."""
    from ferroloop._process import SubprocessTransport

    def fail(text: str) -> Callable[..., Any]:
        async def failing(*_: Any) -> None:
            raise ValueError(text)

        return failing

    monkeypatch.setattr(SubprocessTransport, "_connect_pipes", fail("first"))
    monkeypatch.setattr(SubprocessTransport, "_wait", fail("second"))

    async def main() -> None:
        with pytest.raises(ValueError, match=r"^first$"):
            await loop.subprocess_exec(Family, "sleep", "100")
        await eventually(lambda: not has_children())

    run(main())


@ferroloop_only("asyncio leaves the child unwatched", "S33.3")
def test_refusing_watcher(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S33.3, S32.5: a child whose end nobody would notice is not left alone."""
    import ferroloop

    class Refusing(ferroloop.ThreadedChildWatcher):
        def add_child_handler(self, pid: int, callback: Any, *args: Any) -> None:
            raise OSError(errno.EMFILE, "no pidfd to be had")

    monkeypatch.setattr(loop, "_child_watcher", Refusing)
    with pytest.raises(OSError, match="no pidfd"):
        run(loop.subprocess_exec(Family, "sleep", "100"))
    assert not has_children()


def test_communicate(loop: Loop, run: Run) -> None:
    """S34.7: 100 MiB through the pipes in both directions, in bounded time."""
    data = os.urandom(1 << 20) * 100

    async def main() -> bytes:
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        output, errors = await process.communicate(data)
        assert errors is None
        assert process.returncode == 0
        return output

    assert run(main(), 60) == data


def test_communicate_with_the_deaf(loop: Loop, run: Run) -> None:
    """S34.7, S34.5: a child that does not read all of its input."""

    async def main() -> tuple[bytes, bytes]:
        process = await asyncio.create_subprocess_shell(
            "head -c 5; echo error >&2", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        return await process.communicate(bytes(1 << 20))

    assert run(main()) == (bytes(5), b"error\n")


def test_a_dialogue(loop: Loop, run: Run) -> None:
    """S34.7: line by line, both ways."""

    async def main() -> None:
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        for number in range(100):
            process.stdin.write(b"%d\n" % number)
            await process.stdin.drain()
            assert await process.stdout.readline() == b"%d\n" % number
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.wait() == 0

    run(main())


@ferroloop_only("asyncio stands still", "S32.3")
def test_spawning_in_a_thread_lets_the_loop_run(loop: Loop, run: Run) -> None:
    """S32.3: a preexec_fn that waits for the loop is waited for beside the loop."""

    async def main(seconds: float) -> None:
        waiting, running = os.pipe()

        def hear_of_the_loop() -> None:
            if not select.select([waiting], [], [], seconds)[0]:
                raise TimeoutError

        try:
            loop.call_later(0.01, os.write, running, b"I run")
            async with child("true", stdin=None, stdout=None, stderr=None, preexec_fn=hear_of_the_loop):
                pass
        finally:
            await asyncio.sleep(0.02)  # the timer is over
            os.close(waiting)
            os.close(running)

    assert not loop.get_spawn_in_thread()
    with pytest.raises(subprocess.SubprocessError, match="preexec_fn"):
        run(main(0.1))
    loop.set_spawn_in_thread(True)
    assert loop.get_spawn_in_thread()
    run(main(9))


@ferroloop_only("asyncio has no such option", "S32.3")
def test_threads_end_with_the_loop(new_loop: Callable[[], Any]) -> None:
    """S32.3: and are no more than needed."""
    loop = new_loop()
    loop.set_spawn_in_thread(True)
    earlier = set(threading.enumerate())

    async def main() -> None:
        for _ in range(3):
            process = await asyncio.create_subprocess_exec("true")
            await process.wait()

    loop.run_until_complete(main())
    spawners = [thread for thread in set(threading.enumerate()) - earlier if "ferroloop-spawn" in thread.name]
    assert len(spawners) == 1
    loop.close()
    spawners[0].join(5)
    assert not spawners[0].is_alive()


THREADED = """
import asyncio, atexit, os, warnings
warnings.simplefilter("ignore")
async def main():
    process = await asyncio.create_subprocess_exec("sh", "-c", "exit 4")
    return await process.wait()
def make():
    loop = new_event_loop()
    if hasattr(loop, "set_spawn_in_thread"):
        loop.set_spawn_in_thread(True)
    return loop
"""


@ferroloop_only("asyncio has no such option", "S32.3")
def test_spawning_in_a_thread_after_a_fork(run_script: Callable[..., Any]) -> None:
    """S32.3: the child has none of its parent's threads."""
    script = run_script(
        THREADED
        + """
loop = make()
loop.run_until_complete(main())
pid = os.fork()
if not pid:
    code = loop.run_until_complete(asyncio.wait_for(main(), 10))
    loop.close()
    os._exit(code)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(loop.run_until_complete(main()))
loop.close()
"""
    )
    assert script.out == "4\n4\n", script.err


def test_spawning_in_a_thread_at_exit(run_script: Callable[..., Any]) -> None:
    """S32.3: without a thread, as none can be had."""
    script = run_script(
        THREADED
        + """
@atexit.register
def late():
    loop = make()
    print(loop.run_until_complete(main()))
    loop.close()
"""
    )
    assert script.out == "4\n", script.err


@ferroloop_only("asyncio leaves descriptors open", "S32.5")
def test_spawning_from_another_loop(spawning: Loop, new_loop: Callable[[], Loop]) -> None:
    """S32.3, S32.5: an error, and no wait for a loop that does not run."""
    other = new_loop()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            await asyncio.wait_for(spawning.subprocess_exec(Family, "sleep", "100"), 5)
        await eventually(lambda: not has_children())

    turn(other)
    turn(spawning)
    fds = open_fds()
    other.run_until_complete(main())
    spawning.run_until_complete(eventually(lambda: open_fds() == fds))  # its pipes are closed


def test_timeouts_kill(spawning: Loop, run: Run) -> None:
    """S32.8: a deadline around the whole."""

    async def sleep() -> None:
        process = await asyncio.create_subprocess_exec("sleep", "100")
        try:
            await process.wait()
        finally:
            process.kill()
            await process.wait()

    with pytest.raises(TimeoutError):
        run(asyncio.wait_for(sleep(), 0.05))
    assert not has_children()


def test_no_at_fork_functions(run_script: Callable[..., Any]) -> None:
    """S32.3: they are for forks that stay in Python, not for those that become another program."""
    script = run_script(
        """
import asyncio, os
for moment in ("before", "after_in_parent", "after_in_child"):
    os.register_at_fork(**{moment: lambda moment=moment: os.write(1, moment.encode())})
async def main():
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
loop = new_event_loop()
loop.run_until_complete(main())
loop.close()
print("done")
"""
    )
    assert script.out == "done\n"
