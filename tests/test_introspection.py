"""S52: the tasks of a loop, as asyncio's own tools see them from inside and from another process."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
from support.gates import since
from support.loops import Loop
from support.scripts import Script

RunScript = Callable[..., Script]

# Tasks in task groups in a task, while other processes look at them: argv[1:] are the tools to be run.
PROGRAM = """
import asyncio, ctypes, json, os, signal, subprocess, sys

signal.alarm(50)
if sys.platform == "linux":
    # Where a security module lets only ancestors look into a process, it may let others, too.
    PR_SET_PTRACER, ANYBODY = 0x59616D61, -1
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_long(ANYBODY), 0, 0, 0)

def look(tool):
    command = [sys.executable, "-m", "asyncio", tool, str(os.getpid())]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr

async def connection():
    await asyncio.Event().wait()

async def serving():
    async with asyncio.TaskGroup() as connections:
        for name in "first", "second":
            connections.create_task(connection(), name=name)

async def main():
    async with asyncio.TaskGroup() as group:
        server = group.create_task(serving(), name="server")
        for _ in range(3):
            await asyncio.sleep(0)
        print(json.dumps([await asyncio.to_thread(look, tool) for tool in sys.argv[1:]]))
        server.cancel()

loop = new_event_loop()
asyncio.set_event_loop(None)
loop.run_until_complete(main())
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
"""


class Line(NamedTuple):
    """One line of the tree: how deep it stands, whether a task, and its name."""

    depth: int
    is_task: bool
    name: str


def look(run_script: RunScript, *tools: str) -> list[str]:
    """What `python -m asyncio TOOL PID` prints about PROGRAM, for each of the tools."""
    found: list[tuple[int, str, str]] = json.loads(run_script(PROGRAM, arguments=tools, seconds=60).out)
    if sys.platform != "linux" and any("ermission" in out + err for _, out, err in found):
        pytest.skip("this system lets only root look into other processes")
    assert [code for code, _, _ in found] == [0] * len(tools), found
    return [out for _, out, _ in found]


def parse(tree: str) -> list[Line]:
    """The lines of a tree as `pstree` draws it."""
    lines = []
    for text in filter(str.strip, tree.splitlines()):
        depth = text.index("── ")
        words = text[depth + 3 :].split()
        is_task = words[0] == "(T)"
        lines.append(Line(depth, is_task, words[1] if is_task else words[0]))
    return lines


@since(3, 14)
def test_call_graph(loop: Loop) -> None:
    """S52.1, S11: introspection works inside callbacks and tasks."""

    async def inner() -> asyncio.FutureCallGraph | None:
        return asyncio.capture_call_graph()

    async def main() -> None:
        graph = await inner()
        assert graph is not None
        assert graph.future is asyncio.current_task()
        names = [entry.frame.f_code.co_name for entry in graph.call_stack]
        assert names[:2] == ["inner", "main"]
        assert "main" in asyncio.format_call_graph()

    loop.run_until_complete(main())


@since(3, 14)
def test_ps(run_script: RunScript) -> None:
    """S52.2: every task of a process is in the table, with what it does and who waits for it."""
    (table,) = look(run_script, "ps")
    rows = {row.split()[2]: row for row in table.splitlines()[2:] if row.strip()}
    assert sorted(rows) == ["Task-1", "first", "second", "server"]
    for name in "first", "second":
        assert "Event.wait -> connection" in rows[name]
        assert rows[name].split()[-2] == "server"
    assert rows["server"].split()[-2] == "Task-1"


@since(3, 14)
def test_pstree(run_script: RunScript) -> None:
    """S52.2: tasks stand under the coroutine that waits for them, those of one group beside each other."""
    (tree,) = look(run_script, "pstree")
    lines = parse(tree)
    tasks = {line.name: line.depth for line in lines if line.is_task}
    assert list(tasks) == ["Task-1", "server", "first", "second"]
    assert tasks["Task-1"] < tasks["server"] < tasks["first"] == tasks["second"]
    frames = [line.name for line in lines if not line.is_task]
    assert frames[0] == "main"
    assert frames.index("main") < frames.index("serving") < frames.index("connection")
    assert frames.count("connection") == frames.count("Event.wait") == 2
