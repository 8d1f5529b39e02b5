"""The native half of ferroloop: what runs per callback and per packet."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from contextvars import Context
from traceback import StackSummary
from typing import Any, Protocol, Self, TypedDict, TypeVar, TypeVarTuple, final

from _typeshed import ReadableBuffer, WriteableBuffer
from typing_extensions import disjoint_base

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

__all__ = [
    "BACKEND",
    "Acceptor",
    "Child",
    "Clients",
    "DatagramTransport",
    "EventLoop",
    "Handle",
    "ReadPipeTransport",
    "StreamTransport",
    "TimerHandle",
    "TlsLayer",
    "TlsPhase",
    "WritePipeTransport",
    "__version__",
    "await_exit",
    "can_use_pidfd",
    "literal_address",
    "park_waiting",
    "reap",
    "reap_any",
    "sweep",
    "try_recv",
    "try_recv_into",
    "try_sendfile",
]

__version__: str
# The engine's poller, "epoll" or "kqueue".
BACKEND: str

class _HasFileno(Protocol):
    def fileno(self) -> int: ...

# An asyncio.Handle by `__class__`, not by inheritance. The same holds for TimerHandle and the transports.
@disjoint_base
class Handle(asyncio.Handle):
    """One scheduled callback (asyncio.Handle). Made by the loop, never by hand."""

    _callback: Callable[..., object] | None
    _args: tuple[Any, ...] | None  # type: ignore[assignment]  # None once run or cancelled, as in asyncio
    _context: Context | None
    _loop: EventLoop
    _source_traceback: StackSummary | None
    _cancelled: bool
    _repr: str | None
    def cancel(self) -> None: ...
    def cancelled(self) -> bool: ...
    def get_context(self) -> Context: ...

@final
class TimerHandle(Handle, asyncio.TimerHandle):  # type: ignore[misc]  # which no real class could inherit
    """A callback with a deadline (asyncio.TimerHandle)."""

    def when(self) -> float: ...
    def __lt__(self, other: object, /) -> bool: ...
    def __le__(self, other: object, /) -> bool: ...
    def __gt__(self, other: object, /) -> bool: ...
    def __ge__(self, other: object, /) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...

class _Distribution(TypedDict):
    count: int
    sum: float
    max: float
    # Upper bound in seconds, and how many are below it.
    buckets: list[tuple[float, int]]

class _Stats(TypedDict):
    iterations: int
    callbacks: int
    waits: int
    idle: float
    ready: int
    timers: int
    descriptors: int
    lookups: int
    lateness: _Distribution
    busy: _Distribution

class _Inventory(TypedDict):
    ready: list[Any]
    timers: list[TimerHandle]
    # Descriptor, in which part, and whom it concerns; in the part "idle" that is a weak reference.
    watched: list[tuple[int, str, Any]]

@disjoint_base
class EventLoop:
    """Ready queue, timers, poller and run loop; `ferroloop.EventLoop` adds what runs once per loop or connection."""

    slow_callback_duration: float
    # The handle being run in debug mode, for the exception handler's `handle_traceback`.
    _current_handle: Handle | None
    # What makes the tasks; None for plain ones.
    _task_factory: Callable[..., asyncio.Future[Any]] | None
    # Thread running the loop, or None.
    _thread_id: int | None
    # `time` is overridden (in a subclass or on the instance): timers must ask it, not the native clock.
    _custom_clock: bool

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def call_soon(self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None) -> Handle: ...
    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> Handle: ...
    def call_later(
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> TimerHandle: ...
    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> TimerHandle: ...
    def time(self) -> float: ...
    def stop(self) -> None: ...
    def is_running(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def get_debug(self) -> bool: ...
    def create_future(self) -> asyncio.Future[Any]: ...
    def create_task(
        self, coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T], **kwargs: Any
    ) -> asyncio.Task[_T]: ...
    def add_reader(self, fd: int | _HasFileno, callback: Callable[[*_Ts], object], *args: *_Ts) -> None: ...
    def remove_reader(self, fd: int | _HasFileno) -> bool: ...
    def add_writer(self, fd: int | _HasFileno, callback: Callable[[*_Ts], object], *args: *_Ts) -> None: ...
    def remove_writer(self, fd: int | _HasFileno) -> bool: ...
    # asyncio's private spellings: same, without the check that a transport owns the fd.
    def _add_reader(self, fd: int | _HasFileno, callback: Callable[[*_Ts], object], *args: *_Ts) -> Handle: ...
    def _remove_reader(self, fd: int | _HasFileno) -> bool: ...
    def _add_writer(self, fd: int | _HasFileno, callback: Callable[[*_Ts], object], *args: *_Ts) -> Handle: ...
    def _remove_writer(self, fd: int | _HasFileno) -> bool: ...

    # The waits of the sock_* calls, to be awaited at once: over with the next event, unless another wait or callback of
    # that side takes its place. RuntimeError if an open transport owns the fd.
    def _readable(self, fd: int) -> Awaitable[None]: ...
    def _writable(self, fd: int) -> Awaitable[None]: ...
    # By a native thread, in the numbers family, type, proto, flags. None if socket.getaddrinfo has to be asked.
    def _look_up(
        self, future: asyncio.Future[list[Any]], host: str | bytes | None, port: str | bytes | int | None, *numbers: int
    ) -> int | None: ...
    def _forget_lookup(self, number: int) -> None: ...
    def _set_debug(self, enabled: bool) -> None: ...
    def _set_spin(self, seconds: float) -> None: ...
    # The clock of `ferroloop.testing`: it jumps when the loop has had nothing to do for `threshold` real seconds.
    def _start_virtual_clock(self, threshold: float) -> None: ...
    def _virtual_time(self) -> float: ...
    def _check_closed(self) -> None:
        """Raise RuntimeError `Event loop is closed` if it is."""
    def _check_callback(self, callback: object, method: str) -> None:
        """Debug mode's check: TypeError for coroutines and what is not callable."""
    def _ensure_fd_no_transport(self, fd: int | _HasFileno) -> None: ...
    # The run, in three steps: `_begin_run` records the thread, `_iterate` runs whole iterations until a stop request
    # (or raises an exit request), `_end_run` clears thread, stop request and running loop.
    def _begin_run(self, thread_id: int) -> None: ...
    def _iterate(self) -> None: ...
    def _iterate_nested(self, ended: list[Any]) -> None:
        """Whole iterations inside a job, until `ended` has something in it or the loop is told to stop."""
    def _run_once(self, limit: float | None = None) -> None:
        """One iteration; for whoever drives the loop between `_run_forever_setup` and `_run_forever_cleanup`."""
    @property
    def _stopping(self) -> bool: ...
    # What a host waits for in the loop's place: this descriptor, for so many seconds. RuntimeError if closed.
    def _backend_fd(self) -> int: ...
    def _backend_timeout(self) -> float | None: ...
    def _end_run(self) -> None: ...
    # What `ferroloop._observe` tells of.
    def _stats(self) -> _Stats: ...
    def _inventory(self) -> _Inventory: ...
    # Have the loop's thread make the call, if another than this one runs the loop; whether it will.
    def _hand_over(self, callback: Callable[[], object]) -> bool: ...
    # Whether the loop waits in its poll and nobody has woken it yet; from any thread.
    def _is_asleep(self) -> bool: ...
    # Stop the loop's thread for ever where it is detached, and whether that has happened; for `ferroloop._finalize`.
    def _park(self) -> None: ...
    @property
    def _parked(self) -> bool: ...
    # Filled by Python; the loop queues the handle of each number that it reads from the self-pipe.
    _signal_handlers: dict[int, Handle]
    def _signal_fd(self) -> int:
        """Write end of the self-pipe, made on first use, for signal.set_wakeup_fd."""
    def _make_handle(self, callback: Callable[[*_Ts], object], args: tuple[*_Ts]) -> Handle:
        """A handle that may be queued again and again, in a copy of the current context."""
    def _release(self) -> None:
        """The native part of close(): drop queue and timers unrun, close poller, waker and self-pipe."""

# Of the transports only what asyncio's own class does not declare already.
@final
class StreamTransport(asyncio.Transport):
    """A connected stream socket, TCP or Unix (asyncio.Transport)."""

    def __init__(
        self,
        loop: EventLoop,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        context: Context | None = None,
    ) -> None:
        """Queue connection_made, start of reading, and the waiter's result.

        `server` gets `_attach(transport)` now and `_detach(transport)` once lost.
        `context` is where all protocol calls run; None means a copy of the current one.
        Raises RuntimeError if an open transport of this loop owns the fd.
        """
    def _force_close(self, exc: BaseException | None) -> None: ...
    @property
    def _paused(self) -> bool: ...
    @property
    def _protocol_paused(self) -> bool: ...
    # The steps of `loop.sendfile`: between the first and the last, writes are refused.
    def _begin_sendfile(self) -> None: ...
    def _room(self) -> asyncio.Future[None]:
        """Done when a chunk may be sent; ConnectionError if the connection is lost."""
    def _send_chunk(self, fd: int, offset: int, count: int) -> int | None:
        """Send a chunk of a file in one system call; 0 at its end, None if there is no room."""
    def _end_sendfile(self) -> None: ...

@final
class DatagramTransport(asyncio.Transport, asyncio.DatagramTransport):
    """A socket that sends and receives whole messages.

    asyncio.DatagramTransport; it passes for an asyncio.Transport, as asyncio's does, and has no stream to write to.
    """

    def __init__(
        self,
        loop: EventLoop,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        address: Any = None,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        """Queue connection_made, start of reading, and the waiter's result.

        `address` is the only one that datagrams may be sent to, None if they may go anywhere.
        Raises RuntimeError if an open transport of this loop owns the fd.
        """
    def sendmsg(
        self,
        data: bytes | bytearray | memoryview,
        ancdata: Iterable[tuple[int, int, ReadableBuffer]] = (),
        addr: Any = None,
    ) -> None:
        """Send one datagram with ancillary data, in order with those of `sendto`.

        `ancdata` is (level, type, data) for each item, as `socket.sendmsg` takes it. A datagram that has to wait keeps
        copies, and of descriptors (SCM_RIGHTS) duplicates: the caller may close his own when this returns. `data`,
        `addr` and errors of the system are those of `sendto`; an empty datagram is sent on every Python, and what has
        neither peer nor `addr` is refused by the system.

        Raises TypeError for other data and for what is no ancillary data, OverflowError for a level or type that is no
        C int, ValueError for an address other than the peer's. sendmsg(2), cmsg(3).
        """
    def receive_messages(self, ancbufsize: int) -> None:
        """From now on have `protocol.message_received(data, ancdata, flags, addr)` called, not `datagram_received`.

        It holds for protocols set later, too. The arguments are what `socket.recvmsg` returns. `ancbufsize` is in
        bytes, the sum of `socket.CMSG_SPACE` of the items expected; what does not fit is lost, and MSG_CTRUNC in flags
        says so. Descriptors (SCM_RIGHTS, SCM_PIDFD) are the protocol's to close, and not inheritable (on macOS they
        are).

        Raises ValueError for a size that is negative or no C int, OverflowError for one beyond all integers of C,
        TypeError for what is no integer, and if the protocol has no such method. recvmsg(2), cmsg(3).
        """

@final
class TlsPhase:
    """Where in its life a TLS connection is."""

    IDLE: TlsPhase
    HANDSHAKE: TlsPhase
    OPEN: TlsPhase
    FLUSHING: TlsPhase
    SHUTDOWN: TlsPhase
    CLOSED: TlsPhase

@disjoint_base
class TlsLayer:
    """The record layer of one TLS connection: the protocol of the transport below; `ferroloop._tls` derives from it."""

    _phase: TlsPhase
    # The transport below, None before and after the connection.
    _transport: Any
    _app_protocol: asyncio.BaseProtocol | None
    _app_reading_paused: bool
    def __new__(cls, loop: EventLoop, protocol: asyncio.BaseProtocol, *_args: Any, **_options: Any) -> Self: ...
    def _wrap(self, object: Any, incoming: Any, outgoing: Any) -> None: ...
    # Why the direct engine does not take over; None if it does.
    def _go_direct(self) -> str | None: ...
    @property
    def _engine(self) -> str: ...
    @property
    def _loop(self) -> Any: ...
    # The ssl.SSLObject and the ssl.MemoryBIO of what was received; None once the connection is lost.
    @property
    def _sslobj(self) -> Any: ...
    @property
    def _incoming(self) -> Any: ...
    @property
    def _writing_paused(self) -> bool: ...
    def data_received(self, data: bytes) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def _inherit_pause(self) -> None: ...
    def _advance(self) -> None: ...
    def _read(self) -> None: ...
    def _read_on(self) -> None: ...
    @property
    def _unread(self) -> bool: ...
    def _send_backlog(self) -> None: ...
    def _pump(self) -> None: ...
    def _release(self) -> None: ...
    def _read_buffer_size(self) -> int: ...
    def _write(self, data: bytes | bytearray | memoryview) -> None: ...
    def _writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None: ...
    def _write_buffer_size(self) -> int: ...
    def _set_write_limits(self, high: int | None, low: int | None) -> None: ...
    def _get_write_limits(self) -> tuple[int, int]: ...
    def _set_read_limits(self, high: int | None, low: int | None) -> None: ...
    def _get_read_limits(self) -> tuple[int, int]: ...

@final
class ReadPipeTransport(asyncio.ReadTransport):
    """The end of a pipe that is read, or a socket or character device used like one (asyncio.ReadTransport)."""

    def __init__(
        self,
        loop: EventLoop,
        pipe: _HasFileno,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        """Make the file non-blocking; queue connection_made, start of reading, and the waiter's result.

        The protocol is called in a copy of the current context. Raises ValueError for what is no pipe, socket or
        character device, and RuntimeError if an open StreamTransport of this loop owns the fd.
        """

@final
class WritePipeTransport(asyncio.Transport):
    """The end of a pipe that is written to, or a socket or character device.

    asyncio.WriteTransport; it passes for an asyncio.Transport, as asyncio's does, and cannot read.
    """

    def __init__(
        self,
        loop: EventLoop,
        pipe: _HasFileno,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        """As ReadPipeTransport; instead of reading it watches for the end of all readers, except on a device."""

@final
class Acceptor:
    """Accepts on one listening socket and makes a StreamTransport of each connection."""

    def __init__(
        self,
        loop: EventLoop,
        sock: socket.socket,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        server: Clients,
        backlog: int,
        context: Context | None = None,
    ) -> None:
        """`sock` is non-blocking and already listening; watching starts at once.

        Each connection's protocol and callbacks run in a copy of `context` (None: of the current one).
        """
    def close(self) -> None:
        """Stop watching the socket and cancel a pending retry. Idempotent. The socket is closed by its owner."""
    # No descriptor or memory was left for a connection.
    @property
    def _paused(self) -> bool: ...
    @property
    def _server(self) -> Clients: ...

@disjoint_base
class Clients:
    """The transports of a server's connections, held weakly; the native part of `ferroloop._server.Server`."""

    def __new__(cls, *_args: Any, **_options: Any) -> Self: ...
    # Called by transports.
    def _attach(self, transport: asyncio.BaseTransport) -> None:
        """A connection has been made. Calls `self._raise_closed()` after `_refuse()`."""
    def _detach(self, transport: asyncio.BaseTransport) -> None:
        """A connection is lost, or its transport was dropped. After `_refuse()` the last one calls `self._wake()`."""
    # Called by the server.
    def _refuse(self) -> None:
        """No more connections."""
    def _counts(self) -> tuple[int, int, int]:
        """How many connections were accepted, how many there are, how often there was nothing left for one."""
    def _transports(self) -> list[asyncio.Transport]:
        """Of the connections there are."""

@final
class Child:
    """A child process under watch by its pidfd, in any loop with `add_reader`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pid: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
    ) -> None:
        """Once the process has ended: reap it, close the pidfd, call `callback(pid, returncode, *args)`.

        Raises OSError of pidfd_open(2). The loop's reader holds the object; if both die, so does the pidfd.
        """
    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """The reader callback; it takes no arguments."""
    def forget(self) -> bool:
        """Stop watching; the child is not reaped. False if its end was reported already."""

def reap(pid: int) -> int | None:
    """Reap the child `pid` if it has ended: its returncode, None if there is nothing to reap. Never blocks."""

def reap_any() -> tuple[int, int] | None:
    """Reap any child that has ended: (pid, returncode), None if there is none. Never blocks."""

def sweep(table: dict[int, _T], pids: Iterable[int]) -> Iterator[tuple[int, _T, int | None]]:
    """Reap those of `pids` that have ended and are in `table`, and take them out of it in the same step.

    Lazy: each is reaped when it is asked for. Yields (pid, entry, returncode), with None for the returncode if somebody
    else has reaped the child.
    """

def await_exit(pid: int) -> None:
    """Block until the child `pid` has ended, and leave it unreaped. Returns at once if there is no such child."""

def park_waiting() -> int:
    """Let no thread come back from `await_exit` any more; return how many are on their way already."""

def can_use_pidfd() -> bool:
    """Whether PidfdChildWatcher works here: Linux from 5.4 on, unless a security policy forbids pidfds."""

def try_recv(loop: EventLoop, sock: socket.socket, n: int) -> bytes | None:
    """Receive up to `n` bytes; None if there is nothing yet, `b""` at the end of the stream."""

def try_recv_into(sock: socket.socket, buf: WriteableBuffer) -> int | None:
    """Receive into a writable buffer; None if there is nothing yet, 0 at the end of the stream."""

def try_sendfile(sock: socket.socket, fd: int, offset: int, count: int) -> int | None:
    """Send up to `count` bytes of a file from `offset` on; None if the socket is full, 0 at the end of the file."""

def literal_address(
    host: str | bytes | None,
    port: int | str | bytes | None,
    family: int,
    type: int,
    proto: int,
    flowinfo: int = 0,
    scopeid: int = 0,
) -> tuple[int, int, int, str, tuple[Any, ...]] | None:
    """The one getaddrinfo entry of an IP literal, or None if a lookup is needed."""
