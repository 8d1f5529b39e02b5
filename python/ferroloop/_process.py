"""The transport of a child process and of its pipes (asyncio: Subprocess Transports; kill(2), waitid(2))."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
import warnings
from asyncio.log import logger

from ._checks import refuse_copy
from ._ferroloop import can_use_pidfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from typing import Any

    from ._loop import EventLoop
    from ._pipes import Pipe


class SubprocessTransport(asyncio.SubprocessTransport):
    """A child process (asyncio.SubprocessTransport).

    The protocol hears of the connection first, then of the pipes and of the exit in whatever order they happen, and
    of the loss when the process has exited and all pipes are closed.
    """

    def __init__(
        self,
        loop: EventLoop,
        process: subprocess.Popen[bytes],
        protocol: asyncio.BaseProtocol,
        extra: dict[str, Any] | None = None,
    ) -> None:
        """Take over a process just started. `_connect_pipes` is to follow, and `_process_exited` once it has ended."""
        super().__init__({**(extra or {}), "subprocess": process})
        # All three are None after connection_lost.
        self._loop: Any = loop
        self._proc: Any = process
        self._protocol: Any = protocol
        self._pid = process.pid
        self._returncode: int | None = None
        self._closed = False
        # By the child's fd: our ends of the pipes, and who hears of them, None until they are connected.
        self._files = _files(process)
        self._pipes: dict[int, _PipeProtocol | None] = dict.fromkeys(self._files)
        # What happens before connection_made has to wait for it.
        self._pending: list[tuple[Callable[..., object], tuple[Any, ...]]] | None = []
        self._exit_waiters: set[asyncio.Future[int]] = set()

    __reduce__ = refuse_copy

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._closed:
            info.append("closed")
        info.append(f"pid={self._pid}")
        info.append("running" if self._returncode is None else f"returncode={self._returncode}")
        for fd, name in enumerate(("stdin", "stdout", "stderr")):
            pipe = self.get_pipe_transport(fd)
            if pipe is not None:
                info.append(f"{name}={pipe!r}")
        return f"<{' '.join(info)}>"

    def __del__(self, _warn: Any = warnings.warn) -> None:
        # At interpreter shutdown the module may be emptied already: hence the default argument.
        if not self._closed:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self.close()

    # What is known of the process

    def get_pid(self) -> int:
        """The process's number, also when it has ended."""
        return self._pid

    def get_returncode(self) -> int | None:
        """The exit status, minus the number of the signal that killed the process, or None while it runs."""
        return self._returncode

    def get_pipe_transport(self, fd: int) -> asyncio.BaseTransport | None:
        """The transport of the child's stdin (0), stdout (1) or stderr (2); None if that is no pipe of ours."""
        pipe = self._pipes.get(fd)
        return None if pipe is None else pipe.pipe

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the process to another protocol."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol; None after `connection_lost`."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    # Signals and closing

    def send_signal(self, signal: int) -> None:
        """Send a signal to the process; nothing happens if it has ended.

        Raises ProcessLookupError after `connection_lost`, PermissionError as kill(2).
        """
        if self._proc is None:
            raise ProcessLookupError
        if self._returncode is None:
            with contextlib.suppress(ProcessLookupError):
                _signal_child(self._pid, signal)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def is_closing(self) -> bool:
        """True once `close()` was called."""
        return self._closed

    def close(self) -> None:
        """Close the pipes and kill the process if it still runs. Its end is reported later, as always."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._close_pipes()
        if self._returncode is not None:
            return
        # It may be gone, or run as another user.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if _is_running(self._pid):
                if self._loop.get_debug():
                    logger.warning("Close running child process: kill %r", self)
                _signal_child(self._pid, signal.SIGKILL)

    def _close_pipes(self) -> None:
        for fd, file in self._files.items():
            (self.get_pipe_transport(fd) or file).close()

    # Events

    async def _connect_pipes(self) -> None:
        """Make transports of the pipes; tell the protocol of the connection, then of what has happened meanwhile.

        Whatever fails, or if the caller is cancelled, every pipe is closed.
        """
        try:
            for fd, file in self._files.items():
                connect = self._loop.connect_read_pipe if fd else self._loop.connect_write_pipe
                await connect(functools.partial(_PipeProtocol, self, fd), file)
        except BaseException:
            self._close_pipes()
            raise
        pending, self._pending = self._pending, None
        self._call(self._protocol.connection_made, self)
        for callback, args in pending or ():
            self._call(callback, *args)

    def _call(self, callback: Callable[..., object], *args: Any) -> None:
        """Every event goes through the queue, so that they come in the order of their occurrence."""
        if self._pending is not None:
            self._pending.append((callback, args))
        else:
            self._loop.call_soon(callback, *args)

    def _pipe_data_received(self, fd: int, data: bytes) -> None:
        self._call(self._protocol.pipe_data_received, fd, data)

    def _pipe_connection_lost(self, fd: int, exc: BaseException | None) -> None:
        self._call(self._protocol.pipe_connection_lost, fd, exc)
        self._try_finish()

    def _process_exited(self, returncode: int) -> None:
        """The child watcher has seen the process end."""
        if self._loop.get_debug():
            logger.info("%r exited with return code %r", self, returncode)
        self._returncode = returncode
        if self._proc.returncode is None:
            # Popen has not been asked, and must not ask the system any more.
            self._proc.returncode = returncode
        try:
            self._call(self._protocol.process_exited)
            self._try_finish()
        finally:
            # At once, even if another process holds the pipes open (S33.8).
            for waiter in self._exit_waiters:
                if not waiter.done():
                    waiter.set_result(returncode)
            self._exit_waiters.clear()

    async def _wait(self) -> int:
        """Wait until the process has ended; return its returncode. `asyncio.subprocess.Process.wait` calls this."""
        if self._returncode is not None:
            return self._returncode
        waiter: asyncio.Future[int] = self._loop.create_future()
        self._exit_waiters.add(waiter)
        try:
            return await waiter
        finally:
            self._exit_waiters.discard(waiter)

    def _try_finish(self) -> None:
        """The end is reached when process and pipes have ended, whichever is last."""
        if self._returncode is None:
            return
        if all(pipe is not None and pipe.disconnected for pipe in self._pipes.values()):
            self._call(self._connection_lost)

    def _connection_lost(self) -> None:
        try:
            self._protocol.connection_lost(None)
        finally:
            self._loop = None
            self._proc = None
            self._protocol = None


class _PipeProtocol(asyncio.Protocol):
    """Hands the events of one pipe of a process to its transport."""

    def __init__(self, process: SubprocessTransport, fd: int) -> None:
        self.process: Any = process  # None after connection_lost
        self.fd = fd
        self.pipe: asyncio.BaseTransport | None = None
        self.disconnected = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} fd={self.fd} pipe={self.pipe!r}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.pipe = transport
        self.process._pipes[self.fd] = self

    def data_received(self, data: bytes) -> None:
        self.process._pipe_data_received(self.fd, data)

    def pause_writing(self) -> None:
        self.process._protocol.pause_writing()

    def resume_writing(self) -> None:
        self.process._protocol.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.disconnected = True
        process, self.process = self.process, None
        process._pipe_connection_lost(self.fd, exc)


def _files(process: subprocess.Popen[bytes]) -> dict[int, Pipe]:
    """Our ends of the pipes, by the child's fd."""
    files = (process.stdin, process.stdout, process.stderr)
    return {fd: file for fd, file in enumerate(files) if file is not None}


def _is_running(pid: int) -> bool:
    """Whether a child has not ended yet. Raises ProcessLookupError if somebody has reaped it.

    Unlike `Popen.poll` this leaves the reaping to the watcher.
    """
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return True
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        raise ProcessLookupError from None


def _signal_child(pid: int, sig: int) -> None:
    """Send a signal to a child that nobody has reaped. Raises ProcessLookupError if somebody has.

    The number of a reaped child may be any other process's, and become that between a look and a kill. Where there are
    pidfds the process is held fast before the look.
    """
    if sys.platform == "linux" and can_use_pidfd():
        pidfd = os.pidfd_open(pid)
        try:
            _is_running(pid)
            signal.pidfd_send_signal(pidfd, sig)
        finally:
            os.close(pidfd)
    else:
        _is_running(pid)
        os.kill(pid, sig)
