"""A loop at work for a moment: whether what every program needs works on this machine."""

import asyncio
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

from .._runner import run
from .finding import Finding, Mark

_SLEEP = 0.002
_PATIENCE = 10.0


async def _timer() -> str:
    """How late a short sleep is; it is never early."""
    late = []
    for _ in range(20):
        start = time.monotonic()
        await asyncio.sleep(_SLEEP)
        late.append(time.monotonic() - start - _SLEEP)
    return f"a sleep of {_SLEEP * 1000:g} ms takes {min(late) * 1e6:.0f} µs longer"


async def _connection() -> str:
    """An echo over the loopback interface."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(4))
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, family=socket.AF_INET)
    async with server:
        start = time.monotonic()
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"ping")
        answer = await reader.read()
        elapsed = time.monotonic() - start
        writer.close()
        await writer.wait_closed()
    if answer != b"ping":
        raise ConnectionError(f"an echo server answered {answer!r} to b'ping'")
    return f"a TCP connection, made, used and closed: {elapsed * 1e6:.0f} µs"


async def _thread() -> str:
    """A result from another thread."""
    start = time.monotonic()
    await asyncio.get_running_loop().run_in_executor(None, int)
    return f"a call in another thread and back: {(time.monotonic() - start) * 1e6:.0f} µs"


async def _child() -> str:
    """A child process, its output and its exit status."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-Sc", "print('hello')", stdout=pipe)
    output, _ = await process.communicate()
    if process.returncode or output.strip() != b"hello":
        raise ChildProcessError(f"exit status {process.returncode}, output {output!r}")
    return "a child process starts, prints and ends"


TRIALS: tuple[Callable[[], Awaitable[str]], ...] = (_timer, _connection, _thread, _child)


def findings() -> Iterator[Finding]:
    """Each trial on a loop of its own, so that one which fails leaves the others alone."""
    for trial in TRIALS:
        try:
            yield Finding(run(asyncio.wait_for(trial(), _PATIENCE)), Mark.OK)
        except Exception as exc:
            yield Finding(f"{trial.__doc__} {type(exc).__name__}: {exc}", Mark.PROBLEM)
