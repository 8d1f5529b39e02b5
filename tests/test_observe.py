"""`loop.stats` and `loop.dump`: what a loop has done (S4.6) and what it holds, by its reprs (S3.4)."""

import asyncio
import io
import math
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.loops import Loop, Run

pytestmark = ferroloop_only("asyncio cannot tell", spec="S4.6")

Dump = Callable[[], list[str]]


@pytest.fixture
def dump(loop: Loop) -> Dump:
    """The lines of `loop.dump()`."""

    def dump() -> list[str]:
        file = io.StringIO()
        loop.dump(file)
        return file.getvalue().splitlines()

    return dump


def numbers(loop: Loop) -> dict[str, Any]:
    """What `loop.stats()` has but the histograms."""
    return {name: value for name, value in loop.stats().items() if not isinstance(value, dict)}


def test_iterations_and_callbacks(loop: Loop, run: Run) -> None:
    """S4.6: each iteration and each callback counts once."""

    async def main() -> None:
        await asyncio.sleep(0)
        before = loop.stats()
        for _ in range(10):
            loop.call_soon(int)
            await asyncio.sleep(0)
        after = loop.stats()
        assert after["iterations"] - before["iterations"] == 10
        assert after["callbacks"] - before["callbacks"] == 20

    run(main())


def test_a_cut_batch_counts_what_ran(loop: Loop) -> None:
    """S2.20: what is left for the next run has not been."""
    loop.call_soon(sys.exit)
    loop.call_soon(loop.stop)
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert (loop.stats()["callbacks"], loop.stats()["ready"]) == (1, 1)
    loop.run_forever()
    assert (loop.stats()["callbacks"], loop.stats()["ready"]) == (2, 0)


def test_idle(loop: Loop, run: Run) -> None:
    """Sleeping is idleness, and so is polling for a while; a callback that takes long is not."""
    for spin in (0, 1):
        loop.set_spin(spin)
        before, start = loop.stats(), loop.time()
        run(asyncio.sleep(0.1))
        loop.call_soon(signal.sigtimedwait, (), 0.2)
        run(asyncio.sleep(0))
        after, end = loop.stats(), loop.time()
        assert after["waits"] > before["waits"]
        assert 0.09 < after["idle"] - before["idle"] < end - start - 0.19


def test_idle_while_it_lasts(loop: Loop) -> None:
    """Who asks from another thread need not wait for the end of a sleep."""
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not loop.stats()["waits"]:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        before = loop.stats()
        time.sleep(0.1)
        after = loop.stats()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
    assert after["waits"] == before["waits"] == 1
    assert after["idle"] - before["idle"] > 0.09
    assert loop.stats()["idle"] >= after["idle"]


def test_what_waits(loop: Loop) -> None:
    """Callbacks in the queue and timers that are not cancelled."""
    assert set(numbers(loop).values()) == {0}
    loop.call_soon(int)
    timers = [loop.call_later(60, int) for _ in range(3)]
    assert (loop.stats()["ready"], loop.stats()["timers"]) == (1, 3)
    timers[1].cancel()
    assert loop.stats()["timers"] == 2


def test_descriptors(loop: Loop, run: Run, pair: tuple[socket.socket, socket.socket]) -> None:
    """Each counts once, whoever watches it; the loop's own do not."""
    left, right = pair
    loop.add_signal_handler(signal.SIGUSR1, int)
    assert loop.stats()["descriptors"] == 0
    loop.add_reader(left, int)
    loop.add_writer(left, int)
    assert loop.stats()["descriptors"] == 1
    transport, _ = run(loop.create_connection(asyncio.Protocol, sock=right))
    assert loop.stats()["descriptors"] == 2
    transport.abort()
    loop.remove_reader(left)
    loop.remove_writer(left)
    run(asyncio.sleep(0))
    assert loop.stats()["descriptors"] == 0


def test_lookups(loop: Loop, run: Run) -> None:
    """A name that is being looked up; the answer is taken at the end of an iteration."""
    seen: list[float] = []

    async def main() -> None:
        lookup = loop.create_task(loop.getaddrinfo("localhost", 80))
        loop.call_soon(lambda: seen.append(loop.stats()["lookups"]))
        await lookup
        seen.append(loop.stats()["lookups"])

    run(main())
    assert seen == [1, 0]


def test_lateness(loop: Loop, run: Run, dump: Dump) -> None:
    """S5.3: from the deadline to the queue, in seconds; who is cancelled before that does not count."""
    lateness = loop.stats()["lateness"]
    buckets = [(2**power / 1e6, 0) for power in range(25)] + [(float("inf"), 0)]
    assert lateness == {"count": 0, "sum": 0, "max": 0, "buckets": buckets}

    async def main() -> None:
        first, second = (loop.call_later(0.001, int).when() for _ in range(2))
        loop.call_later(0.001, int).cancel()
        loop.call_later(60, int)
        time.sleep(0.1)
        least = loop.time() - second
        await asyncio.sleep(0)
        most = loop.time() - first
        lateness = loop.stats()["lateness"]
        assert lateness["count"] == 2
        assert 0.099 < least <= lateness["max"] <= most
        assert 2 * least <= lateness["sum"] <= 2 * most
        counts = dict(lateness["buckets"])
        assert [counts[bound] for bound in (1e-6, 0.065536, 16.777216, float("inf"))] == [0, 0, 2, 2]
        (line,) = [line for line in dump() if line.startswith("timers late")]
        average = re.escape(f"; {lateness['sum'] * 500:.3f} on average, {lateness['max'] * 1000:.3f} at most")
        assert re.fullmatch(r"timers late, in ms: .*\b[12] below \d+\.\d+" + average, line)

    run(main())


def test_late_after_a_sleep(loop: Loop, run: Run) -> None:
    """The only timer of a loop that slept until then."""

    async def main() -> None:
        woken = loop.create_future()
        deadline = loop.call_at(loop.time() + 0.01, woken.set_result, None).when()
        await woken
        lateness = loop.stats()["lateness"]
        assert lateness["count"] == 1
        assert 0 < lateness["max"] <= loop.time() - deadline

    run(main())


def test_deadlines_of_the_past(loop: Loop, run: Run) -> None:
    """S5.1: who is due when it is made is late from then on at the earliest."""

    async def main() -> None:
        # Without a timer the loop does not look at the clock before it sleeps or when it has work.
        woken = loop.create_future()
        times: list[float] = []

        def wake() -> None:
            time.sleep(0.2)
            times.append(loop.time())
            loop.call_soon_threadsafe(woken.set_result, None)

        thread = threading.Thread(target=wake)
        thread.start()
        await woken
        loop.call_later(-100, int)
        loop.call_later(0, int)
        loop.call_at(0, int)
        loop.call_at(float("nan"), int)
        await asyncio.sleep(0)
        lateness = loop.stats()["lateness"]
        assert lateness["count"] == 4
        assert lateness["max"] <= loop.time() - times[0]
        thread.join()

    run(main())


def test_late_while_nobody_runs(loop: Loop, run: Run) -> None:
    """A loop that does not run is not late."""
    loop.call_later(0.001, int)
    time.sleep(0.1)
    start = loop.time()
    run(asyncio.sleep(0))
    lateness = loop.stats()["lateness"]
    assert lateness["count"] == 1
    assert lateness["max"] <= loop.time() - start


def test_lateness_by_a_clock_of_ones_own(loop: Loop, run: Run) -> None:
    """S1.9: it may jump, and stand still between two runs, so what it says of lateness is nothing."""
    now = 1000.0
    loop.time = lambda: now  # type: ignore[method-assign]
    for when in (1001.0, 0.0, -math.inf, math.nan):
        loop.call_at(when, int)
    now = 1003.5
    run(asyncio.sleep(0))
    lateness = loop.stats()["lateness"]
    assert (lateness["count"], lateness["sum"], lateness["max"]) == (4, 0, 0)


def test_busy(loop: Loop, dump: Dump) -> None:
    """From the beginning of a run to its first wait, from one wait to the next, and to the end of the run."""
    buckets = [(2**power / 1e6, 0) for power in range(25)] + [(float("inf"), 0)]
    assert loop.stats()["busy"] == {"count": 0, "sum": 0, "max": 0, "buckets": buckets}

    async def main() -> None:
        time.sleep(0.1)
        assert loop.stats()["busy"]["count"] == 0, "the work under way does not count"
        await asyncio.sleep(0.1)
        first = loop.stats()["busy"]
        assert first["count"] >= 1
        assert 0.1 <= first["max"] <= first["sum"] < loop.time() - start - 0.09
        time.sleep(0.3)

    start = loop.time()
    loop.run_until_complete(main())
    most = loop.time() - start - 0.09
    busy = loop.stats()["busy"]
    assert busy["count"] >= 2
    assert 0.3 <= busy["max"] < most
    assert 0.4 <= busy["sum"] < most
    (line,) = [line for line in dump() if line.startswith("busy")]
    mean = busy["sum"] / busy["count"]
    average = re.escape(f"; {mean * 1000:.3f} on average, {busy['max'] * 1000:.3f} at most")
    assert re.fullmatch(r"busy between waits, in ms: \d+ below \d.*" + average, line)


def test_not_busy_between_runs(loop: Loop, run: Run) -> None:
    """Nor while nobody runs the loop."""
    run(asyncio.sleep(0.001))
    before = loop.stats()["busy"]["sum"]
    time.sleep(0.2)
    start = loop.time()
    run(asyncio.sleep(0))
    assert loop.stats()["busy"]["sum"] - before <= loop.time() - start


def test_busy_when_a_run_fails(loop: Loop) -> None:
    """What leaves the run ends the work."""

    def leave() -> None:
        time.sleep(0.05)
        raise SystemExit

    loop.call_soon(leave)
    with pytest.raises(SystemExit):
        loop.run_forever()
    busy = loop.stats()["busy"]
    assert busy["count"] == 1
    assert busy["sum"] >= 0.05


def test_from_a_thread(loop: Loop, run: Run) -> None:
    """An exporter asks from its own thread."""

    async def main() -> None:
        stats = await loop.run_in_executor(None, loop.stats)
        assert stats["iterations"] >= 1
        file = io.StringIO()
        await loop.run_in_executor(None, loop.dump, file)
        assert "running=True" in file.getvalue()

    run(main())


def test_closed(loop: Loop, dump: Dump) -> None:
    """A closed loop has nothing any more."""
    loop.call_later(60, int)
    loop.run_until_complete(asyncio.sleep(0.001))
    assert loop.stats()["lateness"]["count"] == 1
    loop.close()
    assert set(numbers(loop).values()) == {0}
    assert loop.stats()["lateness"]["count"] == loop.stats()["busy"]["count"] == 0
    assert dump() == [repr(loop), ", ".join(f"{name} 0" for name in numbers(loop))]


def test_numbers(loop: Loop, dump: Dump) -> None:
    """The first lines: the loop and its numbers."""
    loop.call_soon(int)
    first, second, *_ = dump()
    assert first == repr(loop)
    assert second == ("iterations 0, callbacks 0, waits 0, idle 0, ready 1, timers 0, descriptors 0, lookups 0")


def test_task_at_work(loop: Loop, dump: Dump) -> None:
    """The task that runs, where there is one."""

    async def main() -> list[str]:
        return dump()

    lines = loop.run_until_complete(main())
    (line,) = [line for line in lines if line.startswith("task ")]
    assert "test_task_at_work.<locals>.main()" in line
    assert not [line for line in dump() if line.startswith("task ")]


def test_queue_and_timers(loop: Loop, dump: Dump) -> None:
    """Callbacks in the order in which they will run, timers by their deadlines."""
    handles = [loop.call_soon(divmod, 7, 2), loop.call_soon(print)]
    late, early = loop.call_later(60, int), loop.call_later(30, float)
    lines = dump()[2:]
    assert lines[:2] == [f"ready {handle!r}" for handle in handles]
    assert re.fullmatch(r"timer in (29\.\d+|30\.000) s " + re.escape(repr(early)), lines[2])
    assert re.fullmatch(r"timer in (59\.\d+|60\.000) s " + re.escape(repr(late)), lines[3])
    assert len(lines) == 4
    for handle in (*handles, late, early):
        handle.cancel()


def test_callbacks_of_descriptors(loop: Loop, dump: Dump, pair: tuple[socket.socket, socket.socket]) -> None:
    """Both sides of a descriptor, with their callbacks."""
    left, right = pair
    loop.add_reader(left, divmod)
    loop.add_writer(left, print)
    loop.add_writer(right, float)
    lines = dump()[2:]
    assert [line.split(" <")[0] for line in lines] == [
        f"descriptor {fd} {part}"
        for fd, part in sorted([(left.fileno(), "reader"), (left.fileno(), "writer"), (right.fileno(), "writer")])
    ]
    assert [line for line in lines if "divmod()" in line] == [f"descriptor {left.fileno()} reader <Handle divmod()>"]
    for sock, remove in ((left, loop.remove_reader), (left, loop.remove_writer), (right, loop.remove_writer)):
        remove(sock)


def test_transports(loop: Loop, run: Run, dump: Dump) -> None:
    """Listening sockets, connections, also those that wait for nothing, and pipes."""

    async def main() -> None:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        listener = server.sockets[0]
        transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
        fd = transport.get_extra_info("socket").fileno()
        lines = dump()
        assert [line for line in lines if line.startswith(f"descriptor {listener.fileno()} listener <Acceptor")]
        assert f"descriptor {fd} transport {transport!r}" in lines
        transport.pause_reading()
        await asyncio.sleep(0)
        assert f"descriptor {fd} idle {transport!r}" in dump()
        read_end, write_end = os.pipe()
        with open(read_end, "rb", 0) as file, open(write_end, "wb", 0):
            pipe, _ = await loop.connect_read_pipe(asyncio.Protocol, file)
            assert f"descriptor {read_end} reader {pipe!r}" in dump()
            pipe.close()
            await asyncio.sleep(0.01)
        transport.abort()
        server.close()
        await server.wait_closed()

    run(main())


def test_servers(loop: Loop, run: Run, dump: Dump) -> None:
    """Each once, however many sockets it has, as long as it listens."""

    async def main() -> None:
        server = await loop.create_server(asyncio.Protocol, ["127.0.0.1", "127.0.0.2"], 0)
        (line,) = [line for line in dump() if line.startswith("server ")]
        assert line == f"server accepted 0, clients 0, listening 2, accept_errors 0, paused 0 {server!r}"
        server.close()
        assert [line for line in dump() if line.startswith("server ")] == []

    run(main())


def test_waiting_coroutine(loop: Loop, run: Run, dump: Dump, pair: tuple[socket.socket, socket.socket]) -> None:
    """A `sock_recv` that waits shows as the future it waits for."""
    left, right = pair

    async def main() -> None:
        task = loop.create_task(loop.sock_recv(left, 1))
        await asyncio.sleep(0)
        (line,) = [line for line in dump() if line.startswith(f"descriptor {left.fileno()} reader")]
        assert "Future pending" in line
        right.send(b"x")
        await task

    run(main())


def test_signals(loop: Loop, dump: Dump) -> None:
    """Handlers of signals, by name."""
    loop.add_signal_handler(signal.SIGUSR1, divmod, 7, 2)
    (line,) = [line for line in dump() if line.startswith("signal ")]
    assert line.startswith("signal SIGUSR1 <Handle divmod(")
    loop.remove_signal_handler(signal.SIGUSR1)


def test_real_time_signals(loop: Loop, dump: Dump) -> None:
    """Most of them have a number only."""
    number = signal.SIGRTMIN + 1
    loop.add_signal_handler(number, int)
    (line,) = [line for line in dump() if line.startswith("signal ")]
    assert line.startswith(f"signal {number:d} <Handle int(")
    loop.remove_signal_handler(number)


def test_standard_error(loop: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it goes if nobody says otherwise."""
    loop.dump()
    captured = capsys.readouterr()
    assert captured.err.startswith(repr(loop))
    assert captured.out == ""


def test_repr_that_fails(loop: Loop, dump: Dump) -> None:
    """Somebody's broken repr is told of, and the rest as well."""

    class Broken:
        def __call__(self) -> None:
            """A callback."""

        def __repr__(self) -> str:
            raise ValueError("broken")

    handle, after = loop.call_soon(Broken()), loop.call_soon(print)
    lines = dump()[2:]
    assert lines == ["ready <Handle, whose repr fails with ValueError('broken')>", f"ready {after!r}"]
    handle.cancel()


def test_dump_while_it_changes(loop: Loop, run: Run) -> None:
    """From another thread, while the loop makes and drops what is to be told of."""
    done = threading.Event()
    failed: list[BaseException] = []

    def dumps() -> None:
        try:
            while not done.is_set():
                loop.dump(io.StringIO())
        except BaseException as exc:
            failed.append(exc)

    async def main() -> None:
        left, right = socket.socketpair()
        with left, right:
            for _ in range(300):
                loop.add_reader(left, int)
                timers = [loop.call_later(60, int) for _ in range(20)]
                await asyncio.sleep(0)
                loop.remove_reader(left)
                for timer in timers:
                    timer.cancel()

    thread = threading.Thread(target=dumps)
    thread.start()
    try:
        run(main())
    finally:
        done.set()
        thread.join()
    assert failed == []
