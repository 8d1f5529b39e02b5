"""S1.8, S1.12: the objects that a loop hands out, as code that tests, patches and inspects them meets them."""

import asyncio
import contextlib
import inspect
import os
import sys
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.loops import ORACLE, Loop, Run
from support.net import connection, unix_pair
from support.processes import child
from support.tls import tls_connection

Object = contextlib.AbstractAsyncContextManager[Any]

LOCAL = ("127.0.0.1", 0)
ALL = {"BaseTransport", "ReadTransport", "WriteTransport", "Transport"}
# asyncio's write pipes and datagram endpoints pass for whole transports.
CLASSES: dict[str, set[str]] = {
    "loop": {"AbstractEventLoop"},
    "handle": {"Handle"},
    "timer": {"Handle", "TimerHandle"},
    "server": {"AbstractServer"},
    "tcp": ALL,
    "unix": ALL,
    "tls": ALL,
    "datagram": ALL | {"DatagramTransport"},
    "read pipe": {"BaseTransport", "ReadTransport"},
    "write pipe": ALL,
    "process": {"BaseTransport", "SubprocessTransport"},
}
NAMES = sorted(set[str]().union(*CLASSES.values()) | {"DatagramTransport"})


@contextlib.asynccontextmanager
async def of_loop(kind: str) -> AsyncIterator[Any]:
    """What takes no descriptor."""
    loop = asyncio.get_running_loop()
    if kind == "loop":
        yield loop
        return
    handle = loop.call_soon(int) if kind == "handle" else loop.call_later(60, int)
    yield handle
    handle.cancel()


@contextlib.asynccontextmanager
async def server(kind: str) -> AsyncIterator[Any]:
    """A server over TCP."""
    async with await asyncio.get_running_loop().create_server(asyncio.Protocol, *LOCAL) as server:
        yield server


@contextlib.asynccontextmanager
async def stream(kind: str) -> AsyncIterator[Any]:
    """A connection without TLS."""
    async with connection(pair=unix_pair) if kind == "unix" else connection() as (transport, _, _):
        yield transport


@contextlib.asynccontextmanager
async def tls(kind: str) -> AsyncIterator[Any]:
    """A connection with TLS."""
    async with tls_connection() as (transport, _, _):
        yield transport


@contextlib.asynccontextmanager
async def datagram(kind: str) -> AsyncIterator[Any]:
    """An endpoint over UDP."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=LOCAL)
    with contextlib.closing(transport):
        yield transport
    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def pipe(kind: str) -> AsyncIterator[Any]:
    """One end of a pipe."""
    loop = asyncio.get_running_loop()
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", 0) as source, os.fdopen(writer, "wb", 0) as sink:
        connecting = (
            loop.connect_read_pipe(asyncio.Protocol, source)
            if kind == "read pipe"
            else loop.connect_write_pipe(asyncio.BaseProtocol, sink)
        )
        transport, _ = await connecting
        with contextlib.closing(transport):
            yield transport
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def process(kind: str) -> AsyncIterator[Any]:
    """A process and its pipes."""
    async with child("cat") as (transport, _):
        yield transport


MAKERS: dict[str, Callable[[str], Object]] = {
    "loop": of_loop,
    "handle": of_loop,
    "timer": of_loop,
    "server": server,
    "tcp": stream,
    "unix": stream,
    "tls": tls,
    "datagram": datagram,
    "read pipe": pipe,
    "write pipe": pipe,
    "process": process,
}
kinds = pytest.mark.parametrize("kind", CLASSES)


@kinds
def test_classes(loop: Loop, loop_kind: str, run: Run, kind: str) -> None:
    """S1.12: of asyncio's abstract classes, exactly those that asyncio's own objects belong to."""
    classes = CLASSES[kind]
    if loop_kind == ORACLE and sys.version_info < (3, 12):
        classes = classes - {"DatagramTransport"}  # asyncio saw to that in 3.12

    async def main() -> None:
        async with MAKERS[kind](kind) as it:
            assert {name for name in NAMES if isinstance(it, getattr(asyncio, name))} == classes

    run(main())


@kinds
def test_weak_references(loop: Loop, run: Run, kind: str) -> None:
    """S1.8, S16.27: everything can be remembered without being kept."""

    async def main() -> None:
        async with MAKERS[kind](kind) as it:
            assert weakref.ref(it)() is it
            assert {it: "a key"}[it] == "a key"

    run(main())


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind not in ("handle", "timer")])
def test_attributes_of_ones_own(loop: Loop, run: Run, kind: str) -> None:
    """S1.8, S16.27: libraries and tests put attributes onto them, and functions in the place of methods."""

    async def main() -> None:
        async with MAKERS[kind](kind) as it:
            it.remark = "mine"
            assert vars(it)["remark"] == "mine"
            method = "get_debug" if kind == "loop" else "get_loop" if kind == "server" else "get_extra_info"
            setattr(it, method, lambda *args: ("patched", *args))
            assert getattr(it, method)("name") == ("patched", "name")
            delattr(it, method)
            assert getattr(it, method)(*["pid"] * (method == "get_extra_info")) != ("patched",)

    run(main())


def parameters(method: Any) -> list[tuple[str, Any, Any]]:
    """The names, kinds and defaults of a method's parameters."""
    return [(it.name, it.kind, it.default) for it in inspect.signature(method).parameters.values()]


def interface(it: Any) -> dict[str, tuple[bool, Any]]:
    """The public methods of an object: whether coroutine functions, and what they take."""
    methods = {name: getattr(it, name) for name in dir(it) if not name.startswith("_")}
    return {
        name: (inspect.iscoroutinefunction(method), parameters(method))
        for name, method in methods.items()
        if callable(method)
    }


# What ferroloop adds.
ADDED = {
    "loop": {
        f"{verb}_{what}"
        for verb in ("get", "set")
        for what in ("spawn_in_thread", "tls_engine", "spin", "watchdog", "nested")
    }
    | {"backend_fd", "backend_timeout", "run_once"}
    | {"run_nested", "stats", "dump", "sock_recvmsg", "sock_recvmsg_into", "sock_sendmsg"},
    "datagram": {"receive_messages", "sendmsg"},
    "server": {"drain", "stats"} | (set() if sys.version_info >= (3, 13) else {"close_clients", "abort_clients"}),
}


async def seen(kind: str) -> dict[str, tuple[bool, Any]]:
    """The interface of an object of this kind."""
    async with MAKERS[kind](kind) as it:
        return interface(it)


@kinds
@ferroloop_only("compares with asyncio itself", "S0.1")
def test_methods_are_asyncios(loop: Loop, run: Run, kind: str) -> None:
    """S0.1, S0.2, S55: the same public methods, parameters, defaults; coroutine functions where asyncio's are."""
    ours = run(seen(kind))
    with contextlib.closing(asyncio.SelectorEventLoop()) as oracle:
        theirs = oracle.run_until_complete(seen(kind))
        oracle.run_until_complete(asyncio.sleep(0.01))
    assert ours.keys() - theirs.keys() == ADDED.get(kind, set())
    if kind == "loop" and sys.version_info < (3, 14):
        # asyncio's changed from one micro version to the next.
        assert ours.pop("create_task")[1][-1][1] is inspect.Parameter.VAR_KEYWORD
        del theirs["create_task"]
    assert {name: ours.get(name) for name in theirs} == theirs


def test_what_a_kind_cannot_do(loop: Loop, run: Run) -> None:
    """S1.12: the methods that a class promises are there and not implemented."""

    async def main() -> None:
        async with pipe("write pipe") as it:
            for method in it.is_reading, it.pause_reading, it.resume_reading:
                with pytest.raises(NotImplementedError):
                    method()
        async with datagram("datagram") as it:
            for method, args in (
                (it.write, (b"x",)),
                (it.writelines, ([b"x"],)),
                (it.write_eof, ()),
                (it.can_write_eof, ()),
            ):
                with pytest.raises(NotImplementedError):
                    method(*args)

    run(main())
