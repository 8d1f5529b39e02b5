"""The event loop: the native one, and around it what runs once per loop or connection.

Each family of methods is a module of plain functions with the loop as first parameter. The class below only puts them
together, so the table of its methods is the table of contents of this package.
"""

from __future__ import annotations

import asyncio
import os
import warnings
import weakref
from asyncio import coroutines
from asyncio.log import logger

from . import _asyncgens, _debug, _errors, _executor, _ferroloop, _run, _signals, _spin, _tasks, _tls_engine
from ._later import later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from concurrent.futures import Executor, ThreadPoolExecutor
    from typing import Any

    from . import (
        _connect,
        _datagram,
        _embedded,
        _nested,
        _observe,
        _pipes,
        _resolve,
        _sendfile,
        _serve,
        _sock,
        _spawn,
        _start_tls,
        _transports,
        _unix,
        _watchdog,
        _watchers,
    )
else:
    _connect, _datagram, _observe, _pipes, _resolve = later("_connect", "_datagram", "_observe", "_pipes", "_resolve")
    _sendfile, _serve, _sock, _spawn = later("_sendfile", "_serve", "_sock", "_spawn")
    _start_tls, _transports, _unix = later("_start_tls", "_transports", "_unix")
    _embedded, _nested, _watchdog, _watchers = later("_embedded", "_nested", "_watchdog", "_watchers")

# What new loops begin with. Only who asks for a watchdog waits for its module.
DEFAULT_WATCHDOG = 0.0
if os.environ.get("FERROLOOP_WATCHDOG"):
    from ._watchdog import default_watchdog

    DEFAULT_WATCHDOG = default_watchdog()


class EventLoop(_ferroloop.EventLoop, asyncio.AbstractEventLoop):
    """An asyncio event loop (asyncio: Event Loop), not yet running."""

    __module__ = "ferroloop"  # a public class goes by the name it is used by, in reprs and logs

    def __new__(cls, *_args: Any, **_kwargs: Any) -> EventLoop:
        """Arguments are for `__init__`, which subclasses may have given others."""
        return super().__new__(cls)

    def __init__(self, selector: None = None) -> None:
        """Make an open loop. Raises TypeError for a selector: the loop brings its own poller."""
        if selector is not None:
            self._release()
            raise TypeError(f"{type(self).__name__} polls by itself and cannot use a selector, got {selector!r}")
        logger.debug("Using selector: %s", _ferroloop.BACKEND)
        self._started = False
        self._nested = False
        self._outside: _run.Outside | None = None
        self._custom_clock = _run.has_custom_clock(self)
        self._saved_origin_depth: int | None = None
        self._exception_handler: _errors.ExceptionHandler | None = None
        self._asyncgens: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        self._asyncgens_shutdown_called = False
        self._default_executor: Executor | None = None
        self._executor_shutdown_called = False
        self._own_threads: dict[tuple[int, str], ThreadPoolExecutor] = {}
        self._signal_handlers = {}
        self._displaced_wakeup_fd: _signals.Descriptor | None = None
        self._own_watcher: _watchers.ChildWatcher | None = None
        self._spawn_in_thread = False
        self._tls_engine = _tls_engine.DEFAULT_ENGINE
        self._spin = _spin.DEFAULT_SPIN
        self._set_spin(self._spin)
        self._watchdog_limit = DEFAULT_WATCHDOG
        self._watchdog: _watchdog.Watchdog | None = None
        self.set_debug(coroutines._is_debug_mode())  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: Any) -> None:
        """Notice a clock that is put in place while the loop runs, as tests of timeouts do."""
        super().__setattr__(name, value)
        if name == "time":
            self._custom_clock = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} running={self.is_running()} closed={self.is_closed()} debug={self.get_debug()}>"

    def __del__(self, _warn: Any = warnings.warn) -> None:
        # At interpreter shutdown the module may be emptied already: hence the default argument.
        if not self.is_closed():
            _warn(f"unclosed event loop {self!r}", ResourceWarning, source=self)
            if not self.is_running():
                self.close()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Called by an `asyncio.TimerHandle` made by hand. The loop's own timers are counted natively."""

    # Running
    run_forever = _run.run_forever
    run_until_complete = _run.run_until_complete
    close = _run.close
    run_nested = _nested.run_nested
    set_nested = _nested.set_nested
    get_nested = _nested.get_nested
    set_spin = _spin.set_spin
    get_spin = _spin.get_spin
    set_watchdog = _watchdog.set_watchdog
    get_watchdog = _watchdog.get_watchdog
    _start_watchdog = _watchdog.start_watchdog
    _stop_watchdog = _watchdog.stop_watchdog
    _run_forever_setup = _run._run_forever_setup
    _run_forever_cleanup = _run._run_forever_cleanup

    # Inside somebody else's loop
    backend_fd = _embedded.backend_fd
    backend_timeout = _embedded.backend_timeout
    run_once = _embedded.run_once

    # What it does and holds
    stats = _observe.stats
    dump = _observe.dump

    # Errors and debug mode
    get_exception_handler = _errors.get_exception_handler
    set_exception_handler = _errors.set_exception_handler
    default_exception_handler = _errors.default_exception_handler
    call_exception_handler = _errors.call_exception_handler
    set_debug = _debug.set_debug
    _set_coroutine_origin_tracking = _debug._set_coroutine_origin_tracking

    # Tasks and asynchronous generators
    _create_task = _tasks.create_task
    get_task_factory = _tasks.get_task_factory
    set_task_factory = _tasks.set_task_factory
    shutdown_asyncgens = _asyncgens.shutdown_asyncgens
    _asyncgen_firstiter_hook = _asyncgens._asyncgen_firstiter_hook
    _asyncgen_finalizer_hook = _asyncgens._asyncgen_finalizer_hook

    # Threads and names
    run_in_executor = _executor.run_in_executor
    set_default_executor = _executor.set_default_executor
    shutdown_default_executor = _executor.shutdown_default_executor
    getaddrinfo = _resolve.getaddrinfo
    getnameinfo = _resolve.getnameinfo
    _ensure_resolved = _resolve._ensure_resolved

    # Connections
    create_connection = _connect.create_connection
    connect_accepted_socket = _connect.connect_accepted_socket
    create_server = _serve.create_server  # type: ignore[assignment]  # typeshed wants asyncio's own Server class
    create_unix_connection = _unix.create_unix_connection
    create_unix_server = _unix.create_unix_server  # type: ignore[assignment]
    create_datagram_endpoint = _datagram.create_datagram_endpoint  # type: ignore[assignment]  # no reuse_address
    start_tls = _start_tls.start_tls
    set_tls_engine = _tls_engine.set_tls_engine
    get_tls_engine = _tls_engine.get_tls_engine
    _make_socket_transport = _transports._make_socket_transport
    _make_datagram_transport = _datagram._make_datagram_transport

    # Plain sockets
    sock_recv = _sock.sock_recv  # type: ignore[assignment]  # typeshed has the abstract method's parameter names
    sock_recv_into = _sock.sock_recv_into
    sock_recvfrom = _sock.sock_recvfrom
    sock_recvfrom_into = _sock.sock_recvfrom_into
    sock_sendall = _sock.sock_sendall
    sock_sendto = _sock.sock_sendto
    sock_recvmsg = _sock.sock_recvmsg
    sock_recvmsg_into = _sock.sock_recvmsg_into
    sock_sendmsg = _sock.sock_sendmsg
    sock_connect = _sock.sock_connect
    sock_accept = _sock.sock_accept

    # Files
    sock_sendfile = _sendfile.sock_sendfile
    sendfile = _sendfile.sendfile
    _sock_sendfile_native = _sendfile._sock_sendfile_native
    _sendfile_native = _sendfile._sendfile_native

    # Pipes
    connect_read_pipe = _pipes.connect_read_pipe
    connect_write_pipe = _pipes.connect_write_pipe
    _make_read_pipe_transport = _pipes._make_read_pipe_transport
    _make_write_pipe_transport = _pipes._make_write_pipe_transport

    # Signals and child processes
    add_signal_handler = _signals.add_signal_handler
    remove_signal_handler = _signals.remove_signal_handler
    _child_watcher = _watchers._child_watcher
    subprocess_exec = _spawn.subprocess_exec
    subprocess_shell = _spawn.subprocess_shell
    set_spawn_in_thread = _spawn.set_spawn_in_thread
    get_spawn_in_thread = _spawn.get_spawn_in_thread
    _make_subprocess_transport = _spawn._make_subprocess_transport

    # Attributes of asyncio's loops that tests look at
    _closed = property(_ferroloop.EventLoop.is_closed)
    _debug = property(_ferroloop.EventLoop.get_debug, _debug.set_debug)
