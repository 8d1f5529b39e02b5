"""S33, S34: signals to a child process, waiting for it, closing its transport."""

import asyncio
import gc
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually
from support.processes import Family, child, end, is_reaped, shell
from support.unclosed import unclosed

Errors = list[dict[str, Any]]
PIPE, DEVNULL, STDOUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT
BEFORE_3_14 = sys.version_info < (3, 14)


@ferroloop_only("asyncio waits for the pipes", "S33.8", BEFORE_3_14)
def test_wait_ends_with_the_process(loop: Loop, run: Run) -> None:
    """S33.8: even while a grandchild holds the pipes."""

    async def main() -> None:
        process = await asyncio.create_subprocess_shell("sleep 100 & echo $!; exit 3", stdout=PIPE)
        assert await asyncio.wait_for(process.wait(), 5) == 3
        grandchild = int(await process.stdout.readline())
        end(grandchild)
        assert await process.stdout.read() == b""

    run(main())


@ferroloop_only("asyncio may wait for ever", "S33.8")
def test_wait_without_a_protocol(loop: Loop, run: Run, logged: LogList) -> None:
    """S33.8: the end of a process is heard of, whatever its protocol lacks."""

    async def main() -> None:
        with pytest.raises(AttributeError, match="connection_made"):
            await asyncio.wait_for(loop.subprocess_exec(object, "true"), 5)

    run(main())


def test_waiters(loop: Loop, run: Run) -> None:
    """S33.9: all get the code; a cancelled one leaves no trace; a late one returns at once."""

    async def main() -> None:
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE)
        waiters = [asyncio.ensure_future(process.wait()) for _ in range(4)]
        await asyncio.sleep(0)
        waiters[1].cancel()
        await asyncio.sleep(0)
        process.stdin.close()
        await asyncio.wait(waiters)
        assert [waiter.cancelled() for waiter in waiters] == [False, True, False, False]
        assert [waiter.result() for waiter in waiters if not waiter.cancelled()] == [0, 0, 0]
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counter = asyncio.ensure_future(count())
        assert await process.wait() == 0
        counter.cancel()
        assert turns == 0

    run(main())


@pytest.mark.parametrize("method", ["kill", "terminate", "send_signal"])
def test_signals(loop: Loop, run: Run, method: str) -> None:
    """S33: and S45.1."""
    sent = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "send_signal": signal.SIGUSR1}[method]

    async def main() -> None:
        async with child("sleep", "100") as (transport, family):
            getattr(transport, method)(*([sent] if method == "send_signal" else []))
            await eventually(lambda: family.over)
            assert transport.get_returncode() == -sent

    run(main())


@ferroloop_only("asyncio kills whoever has the number", "S33.12", sys.version_info[:2] == (3, 13))
def test_signals_after_the_end(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S33.12: nothing between exit and loss, ProcessLookupError after; nobody gets a signal."""
    sent: list[Any] = []

    async def main() -> None:
        script = "sleep 100 & echo $!"
        async with shell(script, stdin=None, stderr=None) as (transport, family):
            await eventually(lambda: family.has("exited") and family.output())
            monkeypatch.setattr(os, "kill", lambda *args: sent.append(args))
            for method in (transport.kill, transport.terminate):
                method()
            transport.send_signal(signal.SIGHUP)
            monkeypatch.undo()
            end(int(family.output()))
            await eventually(lambda: family.over)
            for method in (transport.kill, transport.terminate):
                with pytest.raises(ProcessLookupError):
                    method()
            with pytest.raises(ProcessLookupError):
                transport.send_signal(signal.SIGHUP)

    run(main())
    assert sent == []


@ferroloop_only("asyncio kills whoever has the number", "S33.12")
def test_signals_to_a_reaped_child(loop: Loop, run: Run, logged: LogList) -> None:
    """S33.12: somebody else has reaped it, the loop does not know yet, and the number is another's."""
    innocent = subprocess.Popen(["sleep", "100"])

    async def main() -> None:
        async with child("sleep", "100", stdin=None, stdout=None, stderr=None) as (transport, _):
            pid = transport.get_pid()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            transport.kill()
            transport.terminate()

    run(main())
    assert innocent.poll() is None
    innocent.kill()
    innocent.wait()


@ferroloop_only("asyncio's close() polls, which reaps", "S33.13")
def test_signals_do_not_reap(loop: Loop, run: Run, logged: LogList) -> None:
    """S33.13: a signal, a close or a question leaves the exit status to the watcher."""

    async def main() -> None:
        for act in ("kill", "close", "get_returncode"):
            async with shell("sleep 0.02; exit 5", stdin=None, stdout=None, stderr=None) as (transport, family):
                pid = transport.get_pid()
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped
                getattr(transport, act)()
                await eventually(lambda family=family: family.over)
                assert transport.get_returncode() == 5
                assert is_reaped(pid)

    run(main())
    assert logged.texts(logging.WARNING) == []


def test_close(loop: Loop, run: Run, logged: LogList) -> None:
    """S33.10: kills, returns at once; the events come as ever; closing again does nothing."""
    loop.set_debug(True)

    async def main() -> None:
        async with child("sleep", "100") as (transport, family):
            text = None
            transport.close()
            transport.close()
            assert transport.is_closing()
            text = transport.get_returncode()
            assert text is None
            await eventually(lambda: family.over)
            assert transport.get_returncode() == -signal.SIGKILL
            kinds = [event[0] for event in family.events]
            assert (kinds.count("exited"), kinds.count("pipe lost"), kinds.count("lost")) == (1, 3, 1)

    run(main())
    warnings = [text for text in logged.texts(logging.WARNING) if "Executing" not in text]
    assert len(warnings) == 1
    assert re.fullmatch(r"Close running child process: kill <.* closed pid=\d+ running .*>", warnings[0])


def test_close_after_the_exit(loop: Loop, run: Run, logged: LogList) -> None:
    """S33.10: nothing is killed, nothing logged."""
    loop.set_debug(True)

    async def main() -> None:
        async with child("true", stdin=None, stdout=None, stderr=None) as (transport, family):
            await eventually(lambda: family.has("exited"))
            transport.close()
            await eventually(lambda: family.over)

    run(main())
    assert [text for text in logged.texts(logging.WARNING) if "Executing" not in text] == []


@ferroloop_only("asyncio raises", "S33.10", sys.version_info < (3, 14))
def test_close_without_permission(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S33.10: a child that may not be killed is let be."""

    def refuse(*args: Any) -> None:
        raise PermissionError

    async def main() -> None:
        async with child("sleep", "0.05", stdin=None, stdout=None, stderr=None) as (transport, family):
            monkeypatch.setattr(os, "kill", refuse)
            monkeypatch.setattr(signal, "pidfd_send_signal", refuse, raising=False)
            transport.close()
            monkeypatch.undo()
            await eventually(lambda: family.over)
            assert transport.get_returncode() == 0

    run(main())


@ferroloop_only("asyncio leaves the descriptor of its watcher open", "S33.11")
def test_close_on_a_closed_loop(new_loop: Callable[[], Loop]) -> None:
    """S33.11: the pipes' loop is not touched any more."""
    loop = new_loop()

    async def main() -> Any:
        transport, _ = await loop.subprocess_exec(Family, "sleep", "100", stdout=None, stderr=None)
        return transport

    transport = loop.run_until_complete(main())
    pid = transport.get_pid()
    pipe = transport.get_pipe_transport(0).get_extra_info("pipe")
    process = transport.get_extra_info("subprocess")
    loop.close()
    transport.close()
    assert transport.is_closing()
    os.waitpid(pid, 0)
    process.returncode = -signal.SIGKILL
    with unclosed("unclosed transport"):
        transport.get_protocol().transport = None
        del transport
    assert pipe.closed


def test_finaliser(loop: Loop, run: Run) -> None:
    """S33.18: warns and closes; asyncio's words."""

    async def main() -> None:
        transport, family = await loop.subprocess_exec(Family, "true", stdin=None, stdout=None, stderr=None)
        await eventually(lambda: family.over)
        family.transport = None
        await asyncio.sleep(0)
        with unclosed(f"unclosed transport {transport!r}"):
            del transport

    run(main())


def test_no_warning_after_close(loop: Loop, run: Run) -> None:
    """S33.18."""

    async def main() -> None:
        async with child("true") as (transport, family):
            await eventually(lambda: family.over)
            transport.close()
            family.transport = None
        del transport
        gc.collect()

    run(main())


@ferroloop_only("asyncio's thread may be the faster one", "S33.19", sys.version_info < (3, 12))
def test_somebody_else_waits(loop: Loop, run: Run, logged: LogList) -> None:
    """S33.19, S45.2, S45.3: the watcher has lost the status, and says so; neither the loop nor a waiter hangs."""

    async def main() -> None:
        process = await asyncio.create_subprocess_exec("sleep", "0.02")
        popen = process._transport.get_extra_info("subprocess")
        assert popen.wait() == 0
        assert await asyncio.wait_for(process.wait(), 5) == 255
        assert popen.returncode == 0

    run(main())
    assert len(logged.texts(logging.WARNING)) == 1


@ferroloop_only("asyncio raises ProcessLookupError for a child that is gone", "S45.2", sys.version_info >= (3, 12))
def test_ignored_sigchld(loop: Loop, run: Run, logged: LogList, monkeypatch: pytest.MonkeyPatch) -> None:
    """S45.2, S45.3: the system reaps the child before anybody can watch it: its status is lost, and nothing else."""

    class Gone(subprocess.Popen):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            while not is_reaped(self.pid):
                time.sleep(0.001)

    async def main() -> None:
        process = await asyncio.create_subprocess_exec("echo", "words", stdout=PIPE)
        assert await process.communicate() == (b"words\n", None)
        assert process.returncode == 255
        text = f"Unknown child process pid {process.pid}, will report returncode 255"
        assert logged.texts(logging.WARNING) == [text]

    monkeypatch.setattr(subprocess, "Popen", Gone)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        run(main())
    finally:
        signal.signal(signal.SIGCHLD, before)
