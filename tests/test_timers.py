"""S5: timers, their precision and the clearing of cancelled ones."""

import asyncio
import math
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from decimal import Decimal
from unittest import mock

import pytest
from support.gates import ferroloop_only
from support.loops import Loop
from support.turns import turn


def ignore(*args: object) -> None:
    """A callback."""


def test_call_later_is_call_at_from_now(loop: Loop) -> None:
    """S5.1."""
    low = loop.time()
    timer = loop.call_later(12.25, ignore)
    high = loop.time()
    assert low + 12.25 <= timer.when() <= high + 12.25


@pytest.mark.parametrize("delay", [0, -0.0, -1, -1e9, False])
def test_no_delay_means_the_next_iteration(loop: Loop, delay: float) -> None:
    """S5.1."""
    seen: list[str] = []
    loop.call_later(delay, seen.append, "timer")
    turn(loop)
    assert seen == ["timer"]


def test_none_is_no_delay(loop: Loop) -> None:
    """S5.2: checked even before the closed check."""
    for _ in range(2):
        with pytest.raises(TypeError, match=r"^delay must not be None$"):
            loop.call_later(None, ignore)
        with pytest.raises(TypeError, match=r"^when cannot be None$"):
            loop.call_at(None, ignore)
        loop.close()


@ferroloop_only("asyncio's selector trips over it where nothing else is due", spec="S5.3")
def test_what_is_not_a_number_is_due(loop: Loop) -> None:
    """S5.3: it is not later than now."""
    seen: list[str] = []
    loop.call_soon(loop.call_later, math.nan, seen.append, "later")
    loop.call_soon(loop.call_at, math.nan, seen.append, "at")
    loop.run_until_complete(asyncio.sleep(0.001))
    assert seen == ["later", "at"]


class Float:
    """As good as a float for `math`, and not to be added to one."""

    def __float__(self) -> float:
        return 0.0


@pytest.mark.parametrize("delay", ["1", object(), [], Decimal(1), Float()])
def test_delays_are_numbers(loop: Loop, delay: object) -> None:
    """S5.1."""
    with pytest.raises(TypeError):
        loop.call_later(delay, ignore)


def test_timers_never_fire_early(loop: Loop) -> None:
    """S5.3."""
    resolution = time.get_clock_info("monotonic").resolution
    early: list[float] = []
    left = 60

    def fired(when: float) -> None:
        nonlocal left
        now = loop.time()
        if now + max(resolution, math.ulp(now)) <= when:
            early.append(when - now)
        left -= 1
        if not left:
            loop.stop()

    now = loop.time()
    for n in range(left):
        when = now + n * 0.00137
        loop.call_at(when, fired, when)
    loop.run_forever()
    assert early == []


def test_sleep_never_returns_early(loop: Loop) -> None:
    """S5.3, S5.10: with delays that are no whole milliseconds."""

    async def main() -> list[float]:
        took = []
        for _ in range(20):
            started = time.monotonic()
            await asyncio.sleep(0.0025)
            took.append(time.monotonic() - started)
        return took

    assert min(loop.run_until_complete(main())) >= 0.0025


def test_overdue_from_the_start(loop: Loop) -> None:
    """S5.5: timers whose time is over when they are made run in the order of their deadlines, too."""
    seen: list[int] = []
    for delay in (-1, -2, -3):
        loop.call_later(delay, seen.append, delay)
    turn(loop)
    assert seen == [-3, -2, -1]


@ferroloop_only("asyncio's heap leaves equal deadlines unordered", "S5.5")
def test_equal_deadlines_keep_call_order(loop: Loop) -> None:
    """S5.5."""
    seen: list[int] = []
    when = loop.time()
    for n in range(500):
        loop.call_at(when, seen.append, n)
    turn(loop)
    assert seen == list(range(500))


def far_timers(loop: Loop, count: int) -> list[asyncio.TimerHandle]:
    """Timers that are not due in this test, the earliest first."""
    return [loop.call_later(1000 + n, ignore) for n in range(count)]


def cancel_last(timers: list[asyncio.TimerHandle], count: int) -> list[weakref.ref[object]]:
    """Cancel and forget the last ones; their weak references."""
    refs: list[weakref.ref[object]] = []
    for _ in range(count):
        timer = timers.pop()
        timer.cancel()
        refs.append(weakref.ref(timer))
    return refs


def alive(refs: list[weakref.ref[object]]) -> int:
    """How many cancelled timers the loop still holds."""
    return sum(ref() is not None for ref in refs)


@pytest.mark.parametrize(
    ("scheduled", "cancelled", "left"),
    [(100, 99, 99), (101, 51, 0), (102, 51, 51), (102, 52, 0), (1000, 501, 0), (1000, 500, 500)],
)
def test_compaction_thresholds(loop: Loop, scheduled: int, cancelled: int, left: int) -> None:
    """S5.6, S0.20, S0.21: more than 100, and more than half of them cancelled."""
    timers = far_timers(loop, scheduled)
    refs = cancel_last(timers, cancelled)
    assert alive(refs) == cancelled
    turn(loop)
    assert alive(refs) == left


def test_compaction_resets_the_count(loop: Loop) -> None:
    """S5.6: afterwards it takes more than half again."""
    timers = far_timers(loop, 300)
    cancel_last(timers, 160)
    turn(loop)
    refs = cancel_last(timers, 70)
    turn(loop)
    assert alive(refs) == 70
    refs += cancel_last(timers, 1)
    turn(loop)
    assert alive(refs) == 0


def test_cancelled_head_is_removed(loop: Loop) -> None:
    """S5.7: only the head, until the first live timer."""
    timers = far_timers(loop, 10)
    behind = cancel_last(timers, 3)
    timers.reverse()
    head = cancel_last(timers, 3)
    turn(loop)
    assert alive(head) == 0
    assert alive(behind) == 3


@pytest.mark.parametrize("count", [1, 101])
def test_cleared_timers_are_no_longer_scheduled(loop: Loop, count: int) -> None:
    """S5.6, S5.7: neither the cancelled head nor what a compaction clears."""
    timers = far_timers(loop, count)
    late = timers[-1]
    for timer in timers:
        timer.cancel()
    assert late._scheduled  # type: ignore[attr-defined]
    turn(loop)
    assert not late._scheduled  # type: ignore[attr-defined]


def test_cancelling_twice_counts_once(loop: Loop) -> None:
    """S5.8."""
    timers = far_timers(loop, 102)
    for timer in timers[-51:]:
        timer.cancel()
    refs = cancel_last(timers, 51)
    turn(loop)
    assert alive(refs) == 51


def test_cancelling_a_due_timer_does_not_count(loop: Loop) -> None:
    """S5.8: it already left the heap for the ready queue."""
    timers = far_timers(loop, 102)
    refs = cancel_last(timers, 51)
    due = loop.call_later(-1, ignore)
    due_too = loop.call_later(-2, due.cancel)
    turn(loop, 3)
    assert due.cancelled()
    assert not due_too.cancelled()
    assert alive(refs) == 51


def test_run_timers_do_not_count(loop: Loop) -> None:
    """S5.8: nor does cancelling one that has run."""
    timers = far_timers(loop, 102)
    refs = cancel_last(timers, 51)
    ran = [loop.call_later(0, ignore) for _ in range(20)]
    turn(loop)
    for timer in ran:
        timer.cancel()
    turn(loop)
    assert alive(refs) == 51


def test_cancelled_timer_does_not_shape_the_poll(loop: Loop) -> None:
    """S5.9."""
    loop.call_later(0.001, ignore).cancel()
    loop.call_later(3600, ignore).cancel()
    started = time.monotonic()
    loop.call_later(0.03, loop.stop)
    loop.run_forever()
    assert 0.03 <= time.monotonic() - started < 5


@pytest.fixture
def counting_loop(loop_class: type) -> Iterator[tuple[Loop, list[float]]]:
    """A loop whose clock remembers its readings."""
    readings: list[float] = []

    class Counting(loop_class):
        def time(self) -> float:
            readings.append(super().time())
            return readings[-1]

    loop = Counting()
    yield loop, readings
    loop.close()


def test_waiting_is_not_spinning(counting_loop: tuple[Loop, list[float]]) -> None:
    """S5.10, S1.9: the clock is read a few times per iteration, and there are few iterations."""
    loop, readings = counting_loop
    loop.call_later(0.0533, loop.stop)
    del readings[:]
    loop.run_forever()
    assert 1 <= len(readings) < 20


@pytest.mark.parametrize("delay", [86_400.5, 1e6, 1e9, 1e15, math.inf])
def test_far_deadlines(loop: Loop, delay: float) -> None:
    """S5.11, S0.22: no overflow in the poll."""
    seen: list[str] = []
    timer = loop.call_later(delay, seen.append, "fired")
    thread = threading.Timer(0.01, loop.call_soon_threadsafe, [loop.stop])
    thread.start()
    loop.run_forever()
    thread.join()
    assert seen == []
    assert timer.when() > loop.time()
    timer.cancel()


def test_timer_made_late_runs_in_the_next_iteration(loop: Loop) -> None:
    """S5.12."""
    seen: list[str] = []
    loop.call_soon(lambda: loop.call_at(loop.time() - 5, seen.append, "late"))
    turn(loop)
    assert seen == []
    turn(loop)
    assert seen == ["late"]


@ferroloop_only("a coarse clock never got past its own margin", "S5.4", sys.version_info < (3, 15))
def test_coarse_clock(loop_class: type) -> None:
    """S5.4: the margin is at least one step of the float."""

    class Coarse(loop_class):
        def time(self) -> float:
            return 2.0**60

    seen: list[str] = []
    loop = Coarse()
    loop.call_later(0, seen.append, "fired")
    turn(loop)
    loop.close()
    assert seen == ["fired"]


def test_a_clock_replaced_while_the_loop_runs(loop: Loop) -> None:
    """S1.9: as by mock.patch.object in a test of timeouts; the timers follow, and afterwards no longer."""

    async def main() -> list[str]:
        seen: list[str] = []
        ahead = loop.time() + 3601
        far, farther = (loop.call_later(seconds, seen.append, f"{seconds}") for seconds in (3600, 36_000))
        with mock.patch.object(loop, "time", return_value=ahead):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert loop.time() < ahead
        soon = loop.create_future()
        loop.call_later(0.001, soon.set_result, "soon")
        seen.append(await soon)
        farther.cancel()
        far.cancel()
        return seen

    assert loop.run_until_complete(main()) == ["3600", "soon"]


def test_own_clock_moves_the_timers(loop_class: type) -> None:
    """S1.9: an overridden time() is the timers' clock."""

    class Skipping(loop_class):
        ahead = 0.0

        def time(self) -> float:
            return super().time() + self.ahead

    seen: list[str] = []
    loop = Skipping()
    loop.call_later(3600, seen.append, "fired")
    turn(loop)
    assert seen == []
    loop.ahead = 3601.0
    turn(loop)
    loop.close()
    assert seen == ["fired"]
