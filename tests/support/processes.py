"""Child processes: what their protocol heard, and whether anything of them is left."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

from support.net import eventually
from support.protocols import Events


class Family(Events, asyncio.SubprocessProtocol):
    """Keeps every event of a process, in order."""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.events.append(("data", fd, data))

    def pipe_connection_lost(self, fd: int, exc: BaseException | None) -> None:
        self.events.append(("pipe lost", fd, exc))

    def process_exited(self) -> None:
        self.events.append(("exited",))

    def output(self, fd: int = 1) -> bytes:
        """What came from one pipe."""
        return b"".join(event[2] for event in self.events if event[:2] == ("data", fd))

    def has(self, *event: Any) -> bool:
        """Whether an event that begins so has happened."""
        return any(one[: len(event)] == event for one in self.events)

    @property
    def over(self) -> bool:
        """Whether the last event has happened."""
        return self.has("lost")


@contextlib.asynccontextmanager
async def child(*command: str, make: Callable[[], Any] = Family, **options: Any) -> AsyncIterator[tuple[Any, Any]]:
    """A process started by subprocess_exec: transport and protocol; ended afterwards, whatever it does."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(make, *command, **options)
    try:
        yield transport, protocol
    finally:
        transport.close()
        await eventually(lambda: transport.get_returncode() is not None)
        await eventually(lambda: all(closed(transport.get_pipe_transport(fd)) for fd in range(3)))
        await asyncio.sleep(0)


def shell(script: str, **options: Any) -> Any:
    """The same for a shell script."""
    return child("/bin/sh", "-c", script, **options)


def closed(pipe: Any) -> bool:
    """Whether a pipe's transport, if there is one, has let go of its descriptor."""
    return pipe is None or " closed fd=" in repr(pipe)


def is_reaped(pid: int) -> bool:
    """Whether no process and no zombie has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def has_children() -> bool:
    """Whether this process has a child, alive or a zombie; none is reaped by asking."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end(pid: int) -> None:
    """Kill a process that is no child of ours, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
