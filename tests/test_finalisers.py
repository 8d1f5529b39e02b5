"""S3.1, S3.9: finalisers that use the loop while it drops what they belong to."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
from support.loops import Loop, Run
from support.net import connection, eventually, unix_pair
from support.protocols import BufferedRecorder, Recorder
from support.turns import turn

Errors = list[dict[str, Any]]


class Finaliser:
    """Runs a function when it dies."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action

    def __call__(self, *args: object) -> None:
        """Be a callback."""

    def __del__(self) -> None:
        self.action()


def actions(loop: Loop, seen: list[str]) -> list[Callable[[], object]]:
    """What a finaliser may do to the loop."""
    return [
        lambda: loop.call_soon(seen.append, "soon"),
        lambda: loop.call_later(0, seen.append, "later"),
        lambda: loop.call_soon_threadsafe(seen.append, "threadsafe"),
        lambda: loop.call_soon(seen.append, "cancelled").cancel(),
        lambda: loop.create_future().cancel(),
        lambda: repr(loop),
        lambda: gc.collect(),
        lambda: (loop.time(), seen.append("time")),
    ]


DEATHS: dict[str, Callable[[Loop, Finaliser], object]] = {
    "callback ran": lambda loop, thing: loop.call_soon(thing),
    "argument of a callback": lambda loop, thing: loop.call_soon(len, (thing,)),
    "timer ran": lambda loop, thing: loop.call_later(0, thing),
    "handle cancelled": lambda loop, thing: loop.call_soon(thing).cancel(),
    "timer cancelled": lambda loop, thing: loop.call_later(9, thing).cancel(),
    "exception of a callback": lambda loop, thing: loop.call_soon(fail, thing),
}


def fail(thing: object) -> None:
    """Keep the object in an exception."""
    raise ValueError(thing)


@pytest.mark.parametrize("death", DEATHS)
def test_finaliser_touches_the_loop(loop: Loop, errors: Errors, death: str) -> None:
    """S3.1, S3.9: while the loop drops a callback, in every way it does so."""
    seen: list[str] = []
    loop.set_exception_handler(None if death != "exception of a callback" else lambda *_: None)
    for action in actions(loop, seen):
        DEATHS[death](loop, Finaliser(action))
    turn(loop, 3)
    gc.collect()
    turn(loop, 3)
    assert sorted(seen) == ["later", "soon", "threadsafe", "time"]


def test_finaliser_during_compaction(loop: Loop) -> None:
    """S5.6: hundreds of cancelled timers whose handles die with a reaction."""
    seen: list[str] = []
    timers = []
    for _ in range(200):
        timer: Any = loop.call_later(100, Finaliser(lambda: loop.call_soon(seen.append, "x")))
        timers.append(timer)
    for timer in timers[50:]:
        timer.cancel()
    del timer
    timers[50:] = []
    turn(loop, 3)
    assert len(seen) == 150
    for timer in timers:
        timer.cancel()
    turn(loop, 3)
    assert len(seen) == 200


def test_finaliser_during_close(loop: Loop) -> None:
    """S2.22: callbacks that die in close() find a loop that is closing, not a broken one."""
    left, right = unix_pair()
    answers: list[str] = []

    def react() -> None:
        try:
            loop.call_soon(print)
            answers.append("accepted")
        except RuntimeError as exc:
            answers.append(str(exc))

    loop.call_soon(Finaliser(react))
    loop.call_later(9, Finaliser(react))
    loop.add_reader(left, Finaliser(react))
    turn_later = loop.call_soon(Finaliser(react))
    loop.close()
    del turn_later
    gc.collect()
    assert len(answers) == 4
    assert set(answers) <= {"accepted", "Event loop is closed"}
    left.close()
    right.close()


def test_finaliser_of_a_watch(loop: Loop) -> None:
    """S7.3: replaced and removed callbacks."""
    left, right = unix_pair()
    seen: list[str] = []
    for _ in range(3):
        loop.add_reader(left, Finaliser(lambda: loop.call_soon(seen.append, "died")))
    loop.remove_reader(left)
    turn(loop, 2)
    assert seen == ["died"] * 3
    left.close()
    right.close()


@pytest.mark.parametrize("kind", [Recorder, BufferedRecorder])
def test_finaliser_of_a_protocol(loop: Loop, run: Run, kind: Any) -> None:
    """S16.7, S16.22: replaced in its own data_received, dying at the end of the connection."""
    seen: list[str] = []

    def watched() -> Any:
        protocol = kind()
        protocol.tail = Finaliser(lambda: loop.call_soon(seen.append, "died"))
        return protocol

    async def main() -> None:
        async with connection(watched) as (transport, protocol, peer):
            for _ in range(3):
                protocol.transport = None
                protocol = watched()
                transport.set_protocol(protocol)
                peer.send(b"x")
                await eventually(lambda protocol=protocol: protocol.data)
            transport.close()
            await eventually(lambda: protocol.lost)

    run(main())
    gc.collect()
    turn(loop, 2)
    assert len(seen) >= 3
