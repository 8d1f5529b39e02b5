"""S33, S34: the transport of a child process and its pipes: a whole life."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.loops import Loop, Run
from support.net import eventually
from support.processes import Family, child, end, shell

Errors = list[dict[str, Any]]
PIPE, DEVNULL, STDOUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT
BEFORE_3_14 = sys.version_info < (3, 14)


def test_a_whole_life(loop: Loop, run: Run) -> None:
    """S33.4-S33.7, S33.20, S34.1-S34.3: first the connection, last its loss, each pipe's loss after its data."""

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


def test_inherited_stdin(loop: Loop, run: Run) -> None:
    """S33.1: None is the descriptor that this process has."""

    async def main() -> None:
        tell = "import os; print(os.fstat(0).st_dev, os.fstat(0).st_ino)"
        async with child(sys.executable, "-c", tell, stdin=None) as (_, family):
            await eventually(lambda: family.over)
            assert family.output().split() == [b"%d" % os.fstat(0).st_dev, b"%d" % os.fstat(0).st_ino]

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
