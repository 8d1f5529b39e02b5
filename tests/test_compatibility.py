"""What libraries use of a loop and its objects without its being documented: docs/compatibility.md."""

import asyncio
import copy
import importlib
import pickle
import threading
from asyncio import base_events
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import connection, eventually


async def connected(loop: Loop) -> asyncio.Transport:
    """A transport over TCP."""
    async with connection() as (transport, _, _):
        return transport


async def serving(loop: Loop) -> asyncio.AbstractServer:
    """A server, closed."""
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    server.close()
    return server


async def spawned(loop: Loop) -> asyncio.SubprocessTransport:
    """A process that has ended."""
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    return process._transport


async def timed(loop: Loop) -> asyncio.TimerHandle:
    """A cancelled timer."""
    timer = loop.call_later(60, int)
    timer.cancel()
    return timer


async def itself(loop: Loop) -> Loop:
    """The loop."""
    return loop


Make = Callable[[Loop], Awaitable[Any]]
OWNERS = [itself, timed, connected, serving, spawned]


@pytest.mark.parametrize("make", OWNERS)
def test_nothing_is_pickled(loop: Loop, run: Run, make: Make) -> None:
    """What owns descriptors, or is bound to a loop, stays in its process."""
    thing = run(make(loop))
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(thing)


@pytest.mark.parametrize("make", OWNERS)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
@ferroloop_only("a copy shares the selector or the socket, and closes it when it dies", "S16.27")
def test_nothing_is_copied(loop: Loop, run: Run, make: Make, duplicate: Callable[[Any], Any]) -> None:
    """One owner for each descriptor and process."""
    thing = run(make(loop))
    with pytest.raises(TypeError, match="cannot pickle"):
        duplicate(thing)


def test_root_task_is_found(loop: Loop) -> None:
    """S2.12: anyio knows the task of run_until_complete by asyncio's own function among its callbacks."""

    async def callbacks() -> list[Any]:
        task: Any = asyncio.current_task()
        return [callback for callback, _ in task._callbacks]

    found = loop.run_until_complete(callbacks())
    assert base_events._run_until_complete_cb in found


def test_thread_of_the_run(loop: Any) -> None:
    """Ray asks which thread runs the loop."""
    assert loop._thread_id is None
    seen = []
    loop.call_soon(lambda: seen.append(loop._thread_id))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [threading.get_ident()]
    assert loop._thread_id is None


def test_state_of_the_loop(loop: Any) -> None:
    """S8.2: tests and debuggers read attributes instead of asking, and switch debug mode by one."""
    assert (loop._debug, loop._closed) == (False, False)
    loop._debug = True
    assert loop.get_debug() is True
    loop.set_debug(False)
    assert loop._debug is False
    loop.close()
    assert loop._closed is True


def test_insides_of_handles(loop: Any) -> None:
    """S11.1: debuggers and tests see what a handle will call, and in debug mode who made it."""
    loop.set_debug(True)
    for handle in (loop.call_soon(print, 1, 2), loop.call_later(60, print, 1, 2)):
        assert (handle._callback, handle._args, handle._loop) == (print, (1, 2), loop)
        assert type(handle._context).__name__ == "Context"
        assert handle._source_traceback[-1].filename == __file__
        handle.cancel()
        assert (handle._callback, handle._args) == (None, None)


def test_default_executor(loop: Any, run: Run) -> None:
    """S12.2, S12.3: anyio looks at both names, tests at the first."""
    assert loop._default_executor is None
    assert loop._executor_shutdown_called is False
    run(asyncio.to_thread(int))
    assert loop._default_executor.submit(int).result() == 0
    run(loop.shutdown_default_executor())
    assert loop._executor_shutdown_called is True


def test_streams_can_be_upgraded(loop: Loop, run: Run) -> None:
    """aiohttp asks a transport whether start_tls is for it, asyncssh for its protocol; asyncio.sslproto ends it."""

    async def main() -> None:
        async with connection() as (transport, protocol, _):
            assert transport._start_tls_compatible is True
            assert transport._protocol is protocol
            assert transport._paused is False
            transport.pause_reading()
            assert transport._paused is True
            assert transport._loop is loop
            error = ConnectionAbortedError()
            transport._force_close(error)
            await eventually(lambda: protocol.lost == [error])

    run(main())


def test_server_attributes(loop: Loop, run: Run) -> None:
    """What tests of libraries look at."""

    async def main() -> None:
        server: Any = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        assert server._loop is loop
        assert server._ssl_context is None
        assert len(server._sockets) == 1
        server.close()
        assert server._sockets is None

    run(main())


def test_pending_timer_of_another_make(loop: Any) -> None:
    """S1.9: TimerHandle.cancel tells its loop."""
    timer = asyncio.TimerHandle(loop.time() + 60, int, (), loop)
    timer._scheduled = True
    timer.cancel()
    assert timer.cancelled()


@ferroloop_only("names of ferroloop", "S1.4")
def test_public_names(loop: Loop) -> None:
    """S1.4: the classes print as they are imported, and are found again under these names."""
    package = importlib.import_module("ferroloop")
    assert repr(type(loop)) == "<class 'ferroloop.EventLoop'>"
    for name in package.__all__:
        cls = getattr(package, name)
        if isinstance(cls, type):
            assert cls.__module__ == "ferroloop"
            assert pickle.loads(pickle.dumps(cls)) is cls


def test_debug_mode_by_a_number(loop: Loop) -> None:
    """S8.2: aiohttp's tests say 1 and 0."""
    loop.set_debug(1)
    assert loop.get_debug()
    loop.set_debug(0)
    assert not loop.get_debug()
