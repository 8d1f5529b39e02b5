"""S15: the order of candidates and the race between them."""

import asyncio
import errno
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import ferroloop_only, since
from support.net import eventually, has_ipv6, info, listener, scripted, silent
from support.protocols import Recorder

FOUR = [f"10.0.0.{n}" for n in range(1, 5)]
SIX = [f"fd00::{n}" for n in range(1, 4)]
pytestmark = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 sockets here")


def order(loop_class: type, hosts: list[str], **options: Any) -> list[str]:
    """The hosts of `name` in the order they were tried, all failing."""
    tried: list[str] = []

    async def connect(loop: Any, sock: socket.socket, address: Any) -> None:
        tried.append(address[0])
        raise OSError(errno.EHOSTUNREACH, "scripted")

    loop = scripted(loop_class, {"name": [info(host, 1) for host in hosts]}, connect)
    with pytest.raises(OSError, match="scripted"):
        loop.run_until_complete(loop.create_connection(Recorder, "name", 1, **options))
    loop.close()
    return tried


MIXED = FOUR[:3] + SIX


@pytest.mark.parametrize("options", [{}, {"interleave": None}, {"interleave": 0}])
def test_resolver_order(loop_class: type, options: dict[str, Any]) -> None:
    """S15.1, S15.3."""
    assert order(loop_class, MIXED, **options) == MIXED


@pytest.mark.parametrize(
    ("hosts", "n", "expected"),
    [
        (MIXED, 1, [FOUR[0], SIX[0], FOUR[1], SIX[1], FOUR[2], SIX[2]]),
        (MIXED, 2, [FOUR[0], FOUR[1], SIX[0], FOUR[2], SIX[1], SIX[2]]),
        (MIXED, 3, [FOUR[0], FOUR[1], FOUR[2], SIX[0], SIX[1], SIX[2]]),
        (MIXED, 9, [*FOUR[:3], *SIX]),
        ([SIX[0], *FOUR], 1, [SIX[0], *FOUR]),
        (FOUR, 1, FOUR),
        (FOUR, 2, FOUR),
    ],
)
def test_interleave(loop_class: type, hosts: list[str], n: int, expected: list[str]) -> None:
    """S15.2."""
    assert order(loop_class, hosts, interleave=n) == expected


def test_delay_implies_interleave(loop_class: type) -> None:
    """S15.1: unless told otherwise."""
    mixed = [FOUR[0], SIX[0], FOUR[1], SIX[1], FOUR[2], SIX[2]]
    assert order(loop_class, MIXED, happy_eyeballs_delay=30) == mixed
    assert order(loop_class, MIXED, happy_eyeballs_delay=30, interleave=0) == MIXED


class Race:
    """Candidates that wait, fail or connect as scripted by the last number of their address."""

    def __init__(self, loop_class: type, script: dict[int, Any], target: Any = None) -> None:
        self.script = script
        self.target = target
        self.started: dict[int, float] = {}
        self.ended: dict[int, str] = {}
        self.socks: dict[int, socket.socket] = {}
        names = {"name": [info(f"10.0.0.{n}", 1) for n in script]}
        self.loop = scripted(loop_class, names, self._connect)

    async def _connect(self, loop: Any, sock: socket.socket, address: Any) -> None:
        n = int(address[0].rpartition(".")[2])
        self.started[n] = time.monotonic()
        self.socks[n] = sock
        try:
            await asyncio.sleep(self.script[n][0])
            if self.script[n][1] is not None:
                raise self.script[n][1]
            await loop.really_connect(sock, self.target)
            self.ended[n] = "connected"
        except asyncio.CancelledError:
            self.ended[n] = "cancelled"
            raise
        except OSError:
            self.ended[n] = "failed"
            raise

    def run(self, delay: float, seconds: float = 5) -> Any:
        """The transport's peer port, or the exception; and nothing may be left of the race."""
        try:
            return self.loop.run_until_complete(self._main(delay, seconds))
        finally:
            assert asyncio.all_tasks(self.loop) == set()
            self.loop.close()

    async def _main(self, delay: float, seconds: float) -> Any:
        try:
            async with asyncio.timeout(seconds):
                transport, _ = await self.loop.create_connection(Recorder, "name", 1, happy_eyeballs_delay=delay)
        finally:
            me = asyncio.current_task()
            assert asyncio.all_tasks() == {me}, "attempts outlive the call"
            self.open = [n for n, sock in self.socks.items() if sock.fileno() != -1]
        transport.abort()
        await asyncio.sleep(0)
        return transport.get_extra_info("peername")


def refused(n: int) -> OSError:
    """A failure that is told apart from others."""
    return OSError(errno.ECONNREFUSED, f"scripted {n}")


def test_next_attempt_after_the_delay(loop_class: type) -> None:
    """S15.4, S15.5: a silent candidate costs the delay, and is closed when another wins."""
    with listener() as server:
        target = server.getsockname()
        race = Race(loop_class, {1: (60, None), 2: (0, None), 3: (60, None)}, target)
        assert race.run(0.05) == target
    assert race.started[2] - race.started[1] >= 0.049
    assert race.ended == {1: "cancelled", 2: "connected"}
    assert race.open == [2]


def test_next_attempt_after_a_failure(loop_class: type) -> None:
    """S15.4: at once."""
    with listener() as server:
        race = Race(loop_class, {1: (0, refused(1)), 2: (0, None)}, server.getsockname())
        race.run(30)
    assert race.started[2] - race.started[1] < 5
    assert race.ended == {1: "failed", 2: "connected"}
    assert race.open == [2]


def test_slow_winner(loop_class: type) -> None:
    """S15.4, S15.5: the earlier attempt goes on while the later one runs."""
    with listener() as server:
        race = Race(loop_class, {1: (0.06, None), 2: (60, None)}, server.getsockname())
        race.run(0.02)
    assert race.ended == {1: "connected", 2: "cancelled"}
    assert race.open == [1]


def test_winner_by_name(loop_class: type) -> None:
    """S15.5: with a real candidate that never answers."""
    with silent() as nobody, listener() as server:
        names = {"name": [info(*nobody), info(*server.getsockname())]}
        loop = scripted(loop_class, names)

        async def main() -> Any:
            transport, _ = await loop.create_connection(Recorder, "name", 1, happy_eyeballs_delay=0.02)
            transport.abort()
            await asyncio.sleep(0)
            return transport.get_extra_info("peername")

        assert loop.run_until_complete(asyncio.wait_for(main(), 5)) == server.getsockname()
        loop.close()


def test_all_fail(loop_class: type) -> None:
    """S15.4, S14.15: in the order of the candidates."""
    race = Race(loop_class, {n: (0.01 * n, refused(n)) for n in (1, 2, 3)})
    with pytest.raises(OSError, match=r"^Multiple exceptions: .*scripted 1, .*2, .*3$"):
        race.run(0.005)
    assert race.ended == {1: "failed", 2: "failed", 3: "failed"}
    assert race.open == []


@since(3, 12)
def test_all_errors(loop_class: type) -> None:
    """S14.16."""
    names = {"name": [info("10.0.0.1", 1), info("10.0.0.2", 1)]}

    async def connect(loop: Any, sock: socket.socket, address: Any) -> None:
        raise refused(int(address[0][-1]))

    loop = scripted(loop_class, names, connect)
    with pytest.raises(ExceptionGroup, match="create_connection failed") as caught:
        loop.run_until_complete(loop.create_connection(Recorder, "name", 1, happy_eyeballs_delay=1, all_errors=True))
    loop.close()
    assert [str(exc) for exc in caught.value.exceptions] == [str(refused(1)), str(refused(2))]


@pytest.mark.parametrize("seconds", [0.01, 0.05])
@ferroloop_only("attempts outlived the call", "S15.6", sys.version_info < (3, 14))
def test_cancelling_the_call(loop_class: type, seconds: float) -> None:
    """S15.6: one attempt running, or several."""
    race = Race(loop_class, {1: (60, None), 2: (60, None), 3: (60, None)})
    with pytest.raises(TimeoutError):
        race.run(0.02, seconds)
    assert set(race.ended.values()) == {"cancelled"}
    assert race.open == []


@ferroloop_only("attempts outlive the coroutine, with their sockets", "S15.6")
def test_closing_the_coroutine(loop_class: type) -> None:
    """S15.6: nobody may wait any more, but the attempts are cancelled."""
    race = Race(loop_class, {1: (60, None), 2: (60, None)})

    async def main() -> None:
        connecting = race.loop.create_connection(Recorder, "name", 1, happy_eyeballs_delay=0.001)
        awaited = connecting.send(None)
        while len(race.started) < 2:
            awaited._asyncio_future_blocking = False  # as a task does
            await asyncio.wait([awaited])
            if len(race.started) < 2:
                awaited = connecting.send(None)
        connecting.close()
        await eventually(lambda: race.ended == {1: "cancelled", 2: "cancelled"})

    race.loop.run_until_complete(main())
    race.loop.close()
    assert [sock.fileno() for sock in race.socks.values()] == [-1, -1]


@ferroloop_only("asyncio swallows it and reports no error at all", "S15.7")
def test_programming_errors(loop_class: type) -> None:
    """S15.7: raised, bare or in a group by Python version; the sockets are closed."""
    race = Race(loop_class, {1: (0, ZeroDivisionError()), 2: (60, None)})
    kind = ExceptionGroup if sys.version_info >= (3, 14) else ZeroDivisionError
    with pytest.raises(kind) as caught:
        race.run(0.01)
    if isinstance(caught.value, ExceptionGroup):
        assert caught.value.message == "staggered race failed"
        assert [type(exc) for exc in caught.value.exceptions] == [ZeroDivisionError]
    assert race.open == []


@ferroloop_only("IndexError before 3.14", "S14.17", sys.version_info < (3, 14))
def test_no_winner_and_no_error(loop_class: type) -> None:
    """S14.17: every attempt was cancelled from inside."""
    race = Race(loop_class, {1: (0, asyncio.CancelledError())})
    with pytest.raises(TimeoutError, match=r"^create_connection failed$"):
        race.run(0.01)
    assert race.open == []


@since(3, 14)
def test_awaited_by(loop_class: type) -> None:
    """S52.3: introspection sees that the caller waits for its attempts."""
    waiting: list[Any] = []

    async def connect(loop: Any, sock: socket.socket, address: Any) -> None:
        graph: Any = asyncio.capture_call_graph()
        waiting.extend(caller.future for caller in graph.awaited_by)
        raise refused(1)

    loop = scripted(loop_class, {"name": [info("10.0.0.1", 1)]}, connect)
    task = loop.create_task(loop.create_connection(Recorder, "name", 1, happy_eyeballs_delay=1))
    with pytest.raises(OSError, match="scripted 1"):
        loop.run_until_complete(task)
    loop.close()
    assert waiting == [task]


@since(3, 12)
@ferroloop_only("the race lost its first task", "S15.8", sys.version_info < (3, 13, 1))
def test_eager_tasks(loop_class: type) -> None:
    """S15.8."""
    with listener() as server:
        script: dict[int, Any] = {1: (0, refused(1)), 2: (60, None), 3: (0, None)}
        race = Race(loop_class, script, server.getsockname())
        factory: Callable[..., Any] = asyncio.eager_task_factory
        race.loop.set_task_factory(factory)
        assert race.run(0.02) == server.getsockname()
    assert race.ended == {1: "failed", 2: "cancelled", 3: "connected"}
    assert race.open == [3]
