"""Starting child processes (asyncio: Running subprocesses; subprocess.Popen)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import subprocess
import threading
from asyncio.log import logger
from subprocess import PIPE, STDOUT

from ._executor import own_threads
from ._process import SubprocessTransport
from ._watchers.base import known_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias, TypeVar

    from ._loop import EventLoop

    _ProtocolT = TypeVar("_ProtocolT", bound=asyncio.BaseProtocol)
    _Popen: TypeAlias = subprocess.Popen[bytes]


async def subprocess_exec(
    loop: EventLoop,
    protocol_factory: Callable[[], _ProtocolT],
    program: Any,
    *args: Any,
    stdin: Any = PIPE,
    stdout: Any = PIPE,
    stderr: Any = PIPE,
    universal_newlines: bool = False,
    shell: bool = False,
    bufsize: int = 0,
    encoding: None = None,
    errors: None = None,
    text: bool | None = None,
    **kwargs: Any,
) -> tuple[SubprocessTransport, _ProtocolT]:
    """Start `program` with `args`; return (transport, protocol).

    `stdin`, `stdout` and `stderr` are subprocess.PIPE, for a pipe to the protocol, or what Popen takes; so are all
    `kwargs`. The call returns once the pipes are connected. See `set_spawn_in_thread` for starts that take long.

    Raises ValueError for options that speak of text, buffers or a shell, and what Popen raises (FileNotFoundError,
    PermissionError, SubprocessError...). If the caller is cancelled, the process is killed and waited for.
    """
    _check_no_text(universal_newlines)
    if shell:
        raise ValueError("shell must be False")
    _check_plain(bufsize, text, encoding, errors)
    protocol = protocol_factory()
    message = f"execute program {program!r}"  # and no arguments: they may be secret
    popen_args = (program, *args)
    transport = await _start(loop, protocol, message, popen_args, False, stdin, stdout, stderr, bufsize, **kwargs)
    return transport, protocol


async def subprocess_shell(
    loop: EventLoop,
    protocol_factory: Callable[[], _ProtocolT],
    cmd: str | bytes,
    *,
    stdin: Any = PIPE,
    stdout: Any = PIPE,
    stderr: Any = PIPE,
    universal_newlines: bool = False,
    shell: bool = True,
    bufsize: int = 0,
    encoding: None = None,
    errors: None = None,
    text: bool | None = None,
    **kwargs: Any,
) -> tuple[SubprocessTransport, _ProtocolT]:
    """Start the command line `cmd` in a shell. Otherwise as `subprocess_exec`."""
    if not isinstance(cmd, bytes | str):
        raise ValueError("cmd must be a string")
    _check_no_text(universal_newlines)
    if not shell:
        raise ValueError("shell must be True")
    _check_plain(bufsize, text, encoding, errors)
    protocol = protocol_factory()
    message = f"run shell command {cmd!r}"
    transport = await _start(loop, protocol, message, cmd, True, stdin, stdout, stderr, bufsize, **kwargs)
    return transport, protocol


def _check_no_text(universal_newlines: bool) -> None:
    if universal_newlines:
        raise ValueError("universal_newlines must be False")


def _check_plain(bufsize: int, text: bool | None, encoding: object, errors: object) -> None:
    if bufsize != 0:
        raise ValueError("bufsize must be 0")
    if text:
        raise ValueError("text must be False")
    if encoding is not None:
        raise ValueError("encoding must be None")
    if errors is not None:
        raise ValueError("errors must be None")


async def _start(
    loop: EventLoop,
    protocol: asyncio.BaseProtocol,
    message: str,
    args: Any,
    shell: bool,
    stdin: Any,
    stdout: Any,
    stderr: Any,
    bufsize: int,
    **kwargs: Any,
) -> SubprocessTransport:
    if loop.get_debug():
        logger.debug("%s", " ".join([message, *_describe(stdin, stdout, stderr)]))
    transport = await loop._make_subprocess_transport(protocol, args, shell, stdin, stdout, stderr, bufsize, **kwargs)
    if loop.get_debug():
        logger.info("%s: %r", message, transport)
    return transport


def _describe(stdin: Any, stdout: Any, stderr: Any) -> list[str]:
    words = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    if stdout is not None and stderr == STDOUT:
        words = {"stdin": stdin, "stdout=stderr": stdout}
    special = {PIPE: "<pipe>", STDOUT: "<stdout>"}
    return [
        f"{name}={special.get(value, value) if isinstance(value, int) else repr(value)}"
        for name, value in words.items()
        if value is not None
    ]


async def _make_subprocess_transport(
    loop: EventLoop,
    protocol: asyncio.BaseProtocol,
    args: Any,
    shell: bool,
    stdin: Any,
    stdout: Any,
    stderr: Any,
    bufsize: int,
    extra: dict[str, Any] | None = None,
    **kwargs: Any,
) -> SubprocessTransport:
    """Start a process, have it watched, connect its pipes (a name of asyncio's that others know)."""
    loop._check_closed()  # before there is a process that nobody could be told of
    popen: Any = functools.partial(
        subprocess.Popen, args, shell=shell, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=bufsize, **kwargs
    )
    watcher = loop._child_watcher()
    with watcher:
        if not watcher.is_active():
            # Before there is a process that nobody would notice the end of.
            raise RuntimeError("asyncio.get_child_watcher() is not activated, subprocess support is not installed.")
        process, cancelled = await _spawn(loop, popen)
        transport = SubprocessTransport(loop, process, protocol, extra)
        if loop.get_debug():
            program = args if isinstance(args, bytes | str) else args[0]
            logger.debug("process %r created: pid %s", program, process.pid)
        _watch(loop, watcher, process, transport)
    try:
        if cancelled is not None:
            raise cancelled
        await transport._connect_pipes()
        # connection_made is queued: by then it has been called.
        await asyncio.sleep(0)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        transport.close()
        # A second cancellation ends the waiting, not what is waited for. Who cannot wait, as in another loop than this,
        # is told of the first error.
        with contextlib.suppress(Exception):
            await asyncio.shield(transport._wait())
        raise
    return transport


def _watch(loop: EventLoop, watcher: Any, process: _Popen, transport: SubprocessTransport) -> None:
    try:
        watcher.add_child_handler(process.pid, _child_ended, loop, transport)
    except ProcessLookupError:
        # Gone already, and its status with it: where SIGCHLD is ignored the system itself reaps children.
        _child_ended(process.pid, known_code(process.pid, None, loop.get_debug()), loop, transport)
    except BaseException:  # nobody will notice the end of this process: it ends here
        transport.close()
        process.wait()
        raise


def _child_ended(_pid: int, returncode: int, loop: EventLoop, transport: SubprocessTransport) -> None:
    """Called by the watcher, in whatever thread it works."""
    if loop._thread_id == threading.get_ident():
        transport._process_exited(returncode)
    else:
        # On a closed loop nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(transport._process_exited, returncode)


async def _spawn(loop: EventLoop, popen: Callable[[], _Popen]) -> tuple[_Popen, asyncio.CancelledError | None]:
    """The new process, and the cancellation that came while a thread started it.

    A thread cannot be cancelled, and a process that exists has to be taken care of: so it is waited for first. That is
    done in the loop itself: a coroutine that runs in another one starts the process in place.
    """
    if not loop._spawn_in_thread or asyncio.get_running_loop() is not loop:
        return popen(), None
    cancelled = None
    calls = [popen]  # taken once: a pool that fails to start a thread for a call keeps that call all the same
    try:
        starting = loop.run_in_executor(own_threads(loop, "ferroloop-spawn"), lambda: calls.pop()())
    except RuntimeError:  # no thread is to be had, as when the interpreter shuts down
        return calls.pop()(), None
    while not starting.done():
        try:
            await asyncio.wait([starting])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None and starting.exception() is not None:
        raise cancelled
    return starting.result(), cancelled


def set_spawn_in_thread(loop: EventLoop, enabled: bool) -> None:
    """Choose whether this loop starts processes in worker threads; it does not unless told to.

    `subprocess.Popen` returns only after the child has called execve(2). That takes long for a program on a slow file
    system, behind a `preexec_fn`, or in a process with much memory or slow `os.register_at_fork` functions, and until
    then the loop stands still. In a thread, the waiting is done beside the loop; events and errors are the same. What
    Popen does with the GIL held still stops every thread: at-fork functions, fork(2) itself, and, where it uses
    vfork(2) (Linux, without `preexec_fn`, `user`, `group`...), everything up to execve(2). Where no thread can be
    had, as in `atexit` functions, processes are started in place.
    """
    loop._spawn_in_thread = bool(enabled)


def get_spawn_in_thread(loop: EventLoop) -> bool:
    """Return whether this loop starts processes in worker threads."""
    return loop._spawn_in_thread
