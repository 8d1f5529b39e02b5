"""S1.8, S3.9, S16.22, S57.3: everything dies after each kind of life."""

import asyncio
import contextvars
import gc
import socket
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.loops import Loop, NewLoop, Run
from support.net import connection, eventually, tcp_pair, unix_pair
from support.protocols import BufferedRecorder, Recorder
from support.turns import turn, until


class Thing:
    """Something weakly referenced that may be in a cycle."""

    def __init__(self) -> None:
        self.links: list[Any] = []

    def method(self, *args: object) -> None:
        """A callback."""


def dead(*refs: "weakref.ref[Any]") -> bool:
    """Whether all are gone after a collection, whatever warnings their finalisers give."""
    with warnings.catch_warnings():
        # A recorded warning would keep its source alive.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    return [ref() for ref in refs] == [None] * len(refs)


@pytest.fixture
def no_gc() -> Iterator[None]:
    """Only reference counts may free things."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


SCHEDULED: dict[str, Callable[[Loop, Thing], Any]] = {
    "call_soon": lambda loop, thing: loop.call_soon(thing.method, thing, loop),
    "call_soon with many": lambda loop, thing: loop.call_soon(thing.method, 1, 2, 3, 4, thing),
    "call_later": lambda loop, thing: loop.call_later(9, thing.method, thing),
    "call_soon_threadsafe": lambda loop, thing: loop.call_soon_threadsafe(thing.method, loop),
    "lambda": lambda loop, thing: loop.call_soon(lambda: (thing, loop)),
}


@pytest.mark.parametrize("name", SCHEDULED)
def test_closed_loop_forgets_what_was_queued(new_loop: NewLoop, name: str) -> None:
    """S2.22, S3.9: the handle in a cycle with its own callback."""
    loop, thing = new_loop(), Thing()
    thing.links.append(SCHEDULED[name](loop, thing))
    ref = weakref.ref(thing)
    loop.close()
    del thing
    assert dead(ref)


def keep_handle(loop: Loop, thing: Thing, name: str, end: str) -> None:
    """In a running loop: schedule, keep the handle, and end the run with it."""
    handle = SCHEDULED[name](loop, thing)
    thing.links += [handle, handle._context, loop]
    if end == "cancelled":
        handle.cancel()
    if end == "left":
        loop.stop()
    else:
        loop.call_later(0.001, loop.stop)


@pytest.mark.parametrize("name", SCHEDULED)
@pytest.mark.parametrize("end", ["run", "cancelled", "left"])
def test_a_handle_of_a_running_loop_may_be_in_a_cycle(loop_class: type, name: str, end: str) -> None:
    """S1.8, S3.9: scheduled while the loop runs; then run, cancelled, or left behind by a loop that stops."""
    loop, thing = loop_class(), Thing()
    context = contextvars.copy_context()
    context.run(contextvars.ContextVar[Thing]("variable").set, thing)
    loop.call_soon(keep_handle, loop, thing, name, end, context=context)
    loop.run_forever()
    if end != "left":
        loop.close()
    refs = weakref.ref(loop), weakref.ref(thing)
    del loop, thing, context
    assert dead(*refs)


@pytest.mark.parametrize("name", SCHEDULED)
def test_unreachable_loop_dies_with_its_queue(loop_class: type, name: str) -> None:
    """S1.8: the collector sees through the ready queue and the timers."""
    loop, thing = loop_class(), Thing()
    thing.links += [SCHEDULED[name](loop, thing), loop]
    loop.thing = thing
    refs = weakref.ref(loop), weakref.ref(thing)
    del loop, thing
    assert dead(*refs)


def test_unreachable_loop_dies_with_its_watches(loop_class: type) -> None:
    """S1.8: and through readers and writers."""
    left, right = unix_pair()
    loop, thing = loop_class(), Thing()
    thing.links.append(loop)
    loop.add_reader(left, thing.method)
    loop.add_writer(left, thing.method)
    turn(loop)
    refs = weakref.ref(loop), weakref.ref(thing)
    del loop, thing
    assert dead(*refs)
    left.close()
    right.close()


def test_closed_loop_in_a_cycle(loop_class: type) -> None:
    """S1.8."""
    loop = loop_class()
    loop.myself = loop
    loop.set_exception_handler(loop.call_exception_handler)
    loop.set_task_factory(lambda loop, coro, **kwargs: None)
    ref = weakref.ref(loop)
    loop.close()
    del loop
    assert dead(ref)


def test_closed_loop_needs_no_collector(loop_class: type, no_gc: None) -> None:
    """S2.22: what it made its futures and tasks with goes with the end."""
    loop = loop_class()
    loop.create_future()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    loop.create_future()
    dead = weakref.ref(loop)
    del loop
    assert dead() is None


def test_unreachable_loop_with_a_transport(loop_class: type) -> None:
    """S1.8, S16.26: all of the cycle, one of them registered in the poller."""
    left, right = unix_pair()
    loop = loop_class()
    transport, protocol = loop.run_until_complete(loop.create_connection(Recorder, sock=left))
    turn(loop)
    protocol.loop = loop
    refs = [weakref.ref(thing) for thing in (loop, transport, protocol)]
    del loop, transport, protocol, left
    assert dead(*refs)
    right.close()


def test_run_callbacks_are_gone(loop: Loop, no_gc: None) -> None:
    """S3.9: by reference count."""
    thing = Thing()
    ref = weakref.ref(thing)
    loop.call_soon(thing.method, 1)
    loop.call_later(0, thing.method, 2)
    loop.call_soon_threadsafe(thing.method, 3)
    del thing
    assert ref() is not None
    turn(loop, 2)
    assert ref() is None


@ferroloop_only("asyncio's handle keeps the call it ran", "S3.9")
def test_handle_in_a_cycle_with_its_owner(loop: Loop, no_gc: None) -> None:
    """S3.9: the usual `self._handle = loop.call_later(0, self.tick)` needs no collector."""
    thing = Thing()
    thing.links.append(loop.call_later(0, thing.method))
    ref = weakref.ref(thing)
    del thing
    turn(loop, 2)
    assert ref() is None


def test_removed_watches_are_gone(loop: Loop, no_gc: None) -> None:
    """S7.3, S3.1."""
    left, right = unix_pair()
    things = [Thing(), Thing()]
    refs = [weakref.ref(thing) for thing in things]
    loop.add_reader(left, things[0].method)
    loop.add_reader(left, things[1].method)
    things.clear()
    assert refs[0]() is None, "replaced"
    turn(loop)
    loop.remove_reader(left)
    assert refs[1]() is None, "removed"
    left.close()
    right.close()


ENDS: dict[str, Callable[[Any, Any], object]] = {
    "close": lambda transport, peer: transport.close(),
    "abort": lambda transport, peer: transport.abort(),
    "eof": lambda transport, peer: peer.close(),
    "close with data": lambda transport, peer: (transport.write(bytes(9 << 20)), peer.close()),
    "abort with data": lambda transport, peer: (transport.write(bytes(9 << 20)), transport.abort()),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", [Recorder, BufferedRecorder])
def test_ended_transports(loop: Loop, run: Run, kind: Any, end: str) -> None:
    """S16.22."""

    async def main() -> list[Any]:
        async with connection(kind) as (transport, protocol, peer):
            ENDS[end](transport, peer)
            await eventually(lambda: protocol.lost)
            return [weakref.ref(transport), weakref.ref(protocol)]

    assert dead(*run(main()))


def test_ended_transport_needs_no_collector(loop: Loop, no_gc: None) -> None:
    """S16.22: it lets go of the protocol, the loop and the server."""
    left, right = tcp_pair()

    async def main() -> Any:
        protocols = [Recorder()]
        ref = weakref.ref(protocols[0])
        transport, _ = await loop.create_connection(lambda: protocols[0], sock=left)
        del _
        protocols[0].transport = None
        transport.close()
        await eventually(lambda: protocols[0].lost)
        protocols.clear()
        await asyncio.sleep(0)
        assert ref() is None
        return transport

    transport = loop.run_until_complete(main())
    assert transport.get_protocol() is None
    right.close()


def test_replaced_protocol(loop: Loop, no_gc: None) -> None:
    """S16.7: the old one is let go."""
    left, right = tcp_pair()
    protocols = [Recorder()]
    ref = weakref.ref(protocols[0])
    transport, _ = loop.run_until_complete(loop.create_connection(lambda: protocols[0], sock=left))
    del _
    right.send(b"x")
    until(loop, lambda: bool(protocols[0].data))
    protocols[0].transport = None
    transport.set_protocol(asyncio.Protocol())
    protocols.clear()
    turn(loop)
    assert ref() is None
    transport.abort()
    turn(loop)
    right.close()


def test_closed_servers(loop: Loop, run: Run) -> None:
    """S19.5, S16.22: the server and what its factory refers to."""

    async def main() -> list[Any]:
        thing = Thing()
        made: list[Recorder] = []

        def factory() -> Recorder:
            thing.method()
            made.append(Recorder())
            return made[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        await eventually(lambda: made and made[0].transport)
        client.close()
        await eventually(lambda: made[0].lost)
        server.close()
        await asyncio.sleep(0)
        return [weakref.ref(server), weakref.ref(thing), weakref.ref(made[0])]

    assert dead(*run(main()))


def test_tasks_and_futures(loop: Loop, no_gc: None) -> None:
    """S10.7: done ones are not held by the loop."""

    async def main() -> None:
        await asyncio.sleep(0.001)

    task = loop.create_task(main())
    ref = weakref.ref(task)
    loop.run_until_complete(task)
    del task
    turn(loop)
    assert ref() is None


def test_memory_of_a_long_life(loop: Loop) -> None:
    """S3.9, S5.7: a loop that lives long does not collect objects."""

    async def main() -> None:
        for n in range(300):
            loop.call_later(1000, len, ()).cancel()
            loop.call_soon(len, (n,))
            async with connection(pair=unix_pair) as (transport, _, _):
                transport.write(b"x")
            if n == 100:
                gc.collect()
                before = len(gc.get_objects())
        gc.collect()
        assert len(gc.get_objects()) - before < 100

    loop.run_until_complete(main())
