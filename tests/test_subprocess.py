"""S33, S34: the transport of a child process and its pipes."""

import asyncio
import gc
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.log import LogList
from support.net import eventually
from support.processes import Family, child, end, is_reaped, shell
from support.unclosed import unclosed

Loop = asyncio.AbstractEventLoop
Run = Callable[..., Any]
Errors = list[dict[str, Any]]
PIPE, DEVNULL, STDOUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT
BEFORE_3_14 = sys.version_info < (3, 14)


def test_a_whole_life(loop: Loop, run: Run) -> None:
    """S33.4-S33.7, S34.1-S34.3: first the connection, last its loss, each pipe's loss after its data."""

    async def main() -> None:
        async with shell("cat; echo error >&2; exit 7") as (transport, family):
            assert family.events == [("made",)]
            assert isinstance(transport, asyncio.SubprocessTransport)
            stdin = transport.get_pipe_transport(0)
            stdin.write(b"through ")
            stdin.write(b"the child")
            stdin.close()
            await eventually(lambda: family.over)
            assert transport.get_returncode() == 7
            assert family.output(1) == b"through the child"
            assert family.output(2) == b"error\n"
            assert family.events[-1] == ("lost", None)
            for fd in range(3):
                last = family.events.index(("pipe lost", fd, None))
                assert not any(event[:2] == ("data", fd) for event in family.events[last:])
            kinds = [event[0] for event in family.events]
            assert (kinds.count("exited"), kinds.count("lost"), kinds.count("pipe lost")) == (1, 1, 3)

    run(main())


@pytest.mark.parametrize("script", ["exit 0", "echo x; exec >&-; sleep 0.01", "kill -9 $$"])
def test_dead_before_connected(loop: Loop, run: Run, script: str) -> None:
    """S33.7: however fast the child is."""

    async def main() -> None:
        for _ in range(5):
            async with shell(script) as (transport, family):
                await eventually(lambda family=family: family.over)
                assert family.events[0] == ("made",)
                assert family.events[-1] == ("lost", None)
                assert transport.get_returncode() in (0, -signal.SIGKILL)

    run(main())


def test_what_is_known(loop: Loop, run: Run) -> None:
    """S33: get_pid, get_extra_info, get_protocol, set_protocol, is_closing."""

    async def main() -> None:
        async with child("cat") as (transport, first):
            process = transport.get_extra_info("subprocess")
            assert isinstance(process, subprocess.Popen)
            assert transport.get_pid() == process.pid
            assert transport.get_extra_info("other", "none") == "none"
            assert transport.get_returncode() is None
            assert transport.get_protocol() is first
            second = Family()
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            transport.get_pipe_transport(0).write(b"x")
            await eventually(lambda: second.output() == b"x")
            assert not transport.is_closing()
            transport.kill()
            await eventually(lambda: second.over)
            assert not first.over
            assert transport.get_protocol() is None
            assert process.returncode == -signal.SIGKILL

    run(main())


def test_stdin_is_a_pipe(loop: Loop, run: Run) -> None:
    """S33.1: not a socket, as it was before 3.10."""

    async def main() -> None:
        async with shell("test -p /dev/stdin && test -p /dev/stdout && echo pipes") as (_, family):
            await eventually(lambda: family.over)
            assert family.output() == b"pipes\n"

    run(main())


def test_our_ends_are_not_inherited(loop: Loop, run: Run) -> None:
    """S33.2."""

    async def main() -> None:
        async with child("cat", close_fds=False) as (transport, _):
            for fd in range(3):
                pipe = transport.get_pipe_transport(fd).get_extra_info("pipe")
                assert not os.get_inheritable(pipe.fileno())

    run(main())


def test_some_pipes(loop: Loop, run: Run) -> None:
    """S33.1, S33.14: only what was asked for."""

    async def main() -> None:
        async with shell("echo x", stdin=DEVNULL, stderr=None) as (transport, family):
            assert transport.get_pipe_transport(0) is None
            assert isinstance(transport.get_pipe_transport(1), asyncio.ReadTransport)
            assert transport.get_pipe_transport(2) is None
            assert transport.get_pipe_transport(99) is None
            await eventually(lambda: family.over)
            assert [event for event in family.events if event[0] == "pipe lost"] == [("pipe lost", 1, None)]

    run(main())


def test_no_pipes(loop: Loop, run: Run) -> None:
    """S33.6: the exit alone makes the end."""

    async def main() -> None:
        async with child("true", stdin=None, stdout=None, stderr=None) as (_, family):
            await eventually(lambda: family.over)
            assert family.events == [("made",), ("exited",), ("lost", None)]

    run(main())


def test_errors_to_output(loop: Loop, run: Run) -> None:
    """S34.6."""

    async def main() -> None:
        async with shell("echo 1; echo 2 >&2", stderr=STDOUT) as (transport, family):
            assert transport.get_pipe_transport(2) is None
            await eventually(lambda: family.over)
            assert family.output(1) == b"1\n2\n"

    run(main())


def test_exit_before_the_pipes(loop: Loop, run: Run) -> None:
    """S33.6: a grandchild holds the output open; the loss waits for it, the exit does not."""

    async def main() -> None:
        script = "sleep 100 & echo $!; exit 3"
        async with shell(script, stdin=None, stderr=None) as (transport, family):
            await eventually(lambda: family.has("exited") and family.output())
            assert transport.get_returncode() == 3
            await asyncio.sleep(0.01)
            assert not family.over
            end(int(family.output()))
            await eventually(lambda: family.over)
            assert [event[0] for event in family.events][-2:] == ["pipe lost", "lost"]

    run(main())


def test_pipes_before_the_exit(loop: Loop, run: Run) -> None:
    """S33.6, S34.3."""

    async def main() -> None:
        async with shell("exec <&- >&- 2>&-; sleep 0.05") as (_, family):
            await eventually(lambda: family.over)
            assert [event[0] for event in family.events] == ["made", *["pipe lost"] * 3, "exited", "lost"]

    run(main())


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


def test_repr(loop: Loop, run: Run) -> None:
    """S33.16."""

    async def main() -> None:
        async with child("cat", stderr=None) as (transport, family):
            pid, stdin, stdout = transport.get_pid(), *map(transport.get_pipe_transport, (0, 1))
            assert repr(transport).endswith(f"Transport pid={pid} running stdin={stdin!r} stdout={stdout!r}>")
            stdin.close()
            await eventually(lambda: family.over)
            assert repr(transport).endswith(f"Transport pid={pid} returncode=0 stdin={stdin!r} stdout={stdout!r}>")
            transport.close()
            assert f"Transport closed pid={pid} " in repr(transport)

    run(main())


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


def test_somebody_else_waits(loop: Loop, run: Run, logged: LogList) -> None:
    """S33.19, S45.2: the status is lost, and neither the loop nor a waiter hangs."""

    async def main() -> None:
        process = await asyncio.create_subprocess_exec("sleep", "0.05")
        transport = process._transport  # type: ignore[attr-defined]
        popen = transport.get_extra_info("subprocess")
        assert popen.wait() == 0
        assert await asyncio.wait_for(process.wait(), 5) in (0, 255)

    run(main())


def test_stdin_flow_control(loop: Loop, run: Run) -> None:
    """S34.4."""

    async def main() -> None:
        async with shell("read go; cat >/dev/null") as (transport, family):
            stdin = transport.get_pipe_transport(0)
            stdin.write(bytes(1 << 20))
            assert family.events[-1] == ("pause",)
            stdin.write(b"\n")
            await eventually(lambda: family.has("resume"))
            assert stdin.get_write_buffer_size() <= 16384
            stdin.close()
            await eventually(lambda: family.over)

    run(main())


@pytest.mark.parametrize("size", [0, 1 << 20])
def test_child_closes_stdin(loop: Loop, run: Run, size: int) -> None:
    """S34.5."""

    async def main() -> None:
        async with shell("sleep 0.05; exec <&-; sleep 100") as (transport, family):
            transport.get_pipe_transport(0).write(bytes(size))
            await eventually(lambda: family.has("pipe lost", 0))
            lost = next(event for event in family.events if event[:2] == ("pipe lost", 0))
            assert type(lost[2]) is (BrokenPipeError if size else type(None))

    run(main())


def test_failing_protocol(loop: Loop, run: Run, errors: Errors) -> None:
    """S34.1, S3.10: each event is a callback of its own, whose failure stops no other."""

    class Failing(Family):
        def pipe_data_received(self, fd: int, data: bytes) -> None:
            super().pipe_data_received(fd, data)
            raise ValueError("data")

        def process_exited(self) -> None:
            super().process_exited()
            raise ValueError("exited")

    async def main() -> None:
        async with shell("echo x", make=Failing) as (_, family):
            await eventually(lambda: family.over)
            assert family.events[-1] == ("lost", None)

    run(main())
    assert sorted(str(context["exception"]) for context in errors) == ["data", "exited"]


def test_many_at_once(loop: Loop, run: Run) -> None:
    """S33.6, S45.1: forty children, each its own code."""

    async def main() -> None:
        async def one(code: int) -> tuple[bytes, int | None]:
            process = await asyncio.create_subprocess_shell(f"cat; exit {code}", stdin=PIPE, stdout=PIPE)
            output, _ = await process.communicate(str(code).encode())
            return output, process.returncode

        results = await asyncio.gather(*map(one, range(40)))
        assert results == [(str(code).encode(), code) for code in range(40)]

    run(main(), 30)


def test_a_child_of_each_thread(new_loop: Callable[[], Loop]) -> None:
    """S32.10: loops in two threads, none of them the main one, at the same time."""
    loops = [new_loop() for _ in range(2)]

    async def main(code: int) -> list[int]:
        codes = []
        for _ in range(5):
            process = await asyncio.create_subprocess_shell(f"exit {code}")
            codes.append(await process.wait())
        return codes

    async def both() -> Any:
        runs = [asyncio.to_thread(loop.run_until_complete, main(code)) for code, loop in enumerate(loops)]
        return await asyncio.wait_for(asyncio.gather(*runs), 20)

    assert new_loop().run_until_complete(both()) == [[0] * 5, [1] * 5]
