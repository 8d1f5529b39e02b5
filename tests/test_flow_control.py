"""S17: write flow control."""

import asyncio
import re
import socket
import sys
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import connection, eventually, receive, receive_all, tcp_pair, unix_pair
from support.protocols import Recorder
from support.unclosed import unclosed

Errors = list[dict[str, Any]]
BIG = bytes(4 << 20)


def pressure(protocol: Recorder) -> list[str]:
    """The pause and resume events."""
    return [name for name in protocol.names if name in ("pause", "resume")]


async def fill(transport: Any) -> int:
    """Write until something stays in the buffer; how much was written."""
    transport.set_write_buffer_limits(high=1 << 30)
    written = 0
    while not transport.get_write_buffer_size():
        transport.write(bytes(1 << 18))
        written += 1 << 18
        await asyncio.sleep(0)
    return written


def test_a_peer_that_was_fast_and_stops(loop: Loop, run: Run) -> None:
    """S17.2: the writer is paused while it writes, and little more is kept for the peer than for any other."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            piece = bytes(range(256)) * 128
            for _ in range(200):
                transport.writelines([piece])
                transport.write(piece)
                assert await receive(peer, 2 * len(piece)) == 2 * piece
            assert pressure(protocol) == []
            count = 0
            while not pressure(protocol):
                transport.write(piece)
                count += 1
                assert count < 10_000
            assert pressure(protocol) == ["pause"]
            assert transport.get_write_buffer_size() < 2 * 1024 * 1024
            assert await receive(peer, count * len(piece)) == count * piece
            assert pressure(protocol) == ["pause", "resume"]

    run(main())


@ferroloop_only("asyncio raises RuntimeError", "S17.2")
def test_nobody_is_paused_by_a_closed_loop(loop: Loop) -> None:
    """S17.2: there is nobody who would resume him."""
    left, right = unix_pair()
    transport, protocol = loop.run_until_complete(loop.create_connection(Recorder, sock=left))
    loop.close()
    transport.write(bytes(1 << 20))
    assert pressure(protocol) == []
    with unclosed("unclosed transport"):
        del transport, protocol, left
    right.close()


def test_default_limits(loop: Loop, run: Run) -> None:
    """S17.1, S0.29."""

    async def main() -> None:
        async with connection() as (transport, _, _):
            assert transport.get_write_buffer_limits() == (16384, 65536)

    run(main())


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({"high": 1000}, (250, 1000)),
        ({"low": 1000}, (1000, 4000)),
        ({"high": 10, "low": 10}, (10, 10)),
        ({"high": 0}, (0, 0)),
        ({"high": 7}, (1, 7)),
        ({}, (16384, 65536)),
    ],
)
def test_setting_limits(loop: Loop, run: Run, given: Any, limits: tuple[int, int]) -> None:
    """S17.1."""

    async def main() -> None:
        async with connection() as (transport, _, _):
            transport.set_write_buffer_limits(**given)
            assert transport.get_write_buffer_limits() == limits

    run(main())


@pytest.mark.parametrize(("high", "low"), [(1, 2), (-1, None), (5, -1), (None, -1), (-5, -5)])
def test_wrong_limits(loop: Loop, run: Run, high: int | None, low: int | None) -> None:
    """S17.1: refused, and the old ones stay."""

    async def main() -> None:
        async with connection() as (transport, _, _):
            with pytest.raises(ValueError, match=r"^high \(.*\) must be >= low \(.*\) must be >= 0$"):
                transport.set_write_buffer_limits(high=high, low=low)
            assert transport.get_write_buffer_limits() == (16384, 65536)

    run(main())


def test_text_of_wrong_limits(loop: Loop, run: Run) -> None:
    """S17.1."""

    async def main() -> None:
        async with connection() as (transport, _, _):
            text = re.escape("high (1) must be >= low (2) must be >= 0")
            with pytest.raises(ValueError, match=f"^{text}$"):
                transport.set_write_buffer_limits(high=1, low=2)

    run(main())


def test_pause_inside_write_and_resume(loop: Loop, run: Run) -> None:
    """S17.2, S17.3: each once."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.write(BIG)
            assert pressure(protocol) == ["pause"], "called inside write"
            assert transport.get_write_buffer_size() > 65536
            transport.write(BIG)
            assert pressure(protocol) == ["pause"]
            await receive(peer, 2 * len(BIG))
            await eventually(lambda: pressure(protocol) == ["pause", "resume"])
            assert transport.get_write_buffer_size() <= 16384

    run(main())


def test_pause_at_the_exact_byte(loop: Loop, run: Run) -> None:
    """S17.2: strictly above high."""

    async def main() -> None:
        async with connection() as (transport, protocol, _):
            await fill(transport)
            size = transport.get_write_buffer_size()
            transport.set_write_buffer_limits(high=size + 10)
            transport.write(bytes(10))
            assert transport.get_write_buffer_size() == size + 10
            assert pressure(protocol) == []
            transport.write(b"x")
            assert pressure(protocol) == ["pause"]

    run(main())


def test_resume_at_the_low_mark(loop: Loop, run: Run) -> None:
    """S17.3: not before, and the event sees the buffer at or below it."""
    sizes: list[int] = []

    class Protocol(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            sizes.append(self.transport.get_write_buffer_size())

    async def main() -> None:
        async with connection(Protocol) as (transport, protocol, peer):
            transport.set_write_buffer_limits(high=2_000_000, low=1_000_000)
            transport.write(bytes(8 << 20))
            assert pressure(protocol) == ["pause"]
            while pressure(protocol) == ["pause"]:
                assert transport.get_write_buffer_size() > 1_000_000
                await receive(peer, 65536)
                await asyncio.sleep(0)
            assert len(sizes) == 1
            assert sizes[0] <= 1_000_000

    run(main())


def test_small_writes_never_pause(loop: Loop, run: Run) -> None:
    """S17.2: what the kernel takes at once does not count, even with a mark of zero."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.set_write_buffer_limits(high=0)
            for _ in range(20):
                transport.write(b"small")
                await asyncio.sleep(0)
                await receive(peer, 5)
            assert pressure(protocol) == []

    run(main())


def test_new_limits_after_small_writes_do_not_pause(loop: Loop, run: Run) -> None:
    """S17.4: what the kernel would have taken at once does not count here either."""

    async def main() -> None:
        async with connection() as (transport, protocol, peer):
            transport.write(b"a few")
            transport.write(b"bytes")
            transport.set_write_buffer_limits(high=0)
            await receive(peer, 10)
            assert pressure(protocol) == []

    run(main())


def test_setting_limits_checks_at_once(loop: Loop, run: Run) -> None:
    """S17.4: for pausing, not for resuming."""

    async def main() -> None:
        async with connection(pair=unix_pair) as (transport, protocol, _):
            await fill(transport)
            transport.set_write_buffer_limits(high=1)
            assert pressure(protocol) == ["pause"]
            transport.set_write_buffer_limits(high=1 << 30)
            await asyncio.sleep(0.002)
            assert pressure(protocol) == ["pause"]

    run(main())


class Boom(Exception):
    """Raised by protocols."""


class Odd(BaseException):
    """Neither an Exception nor an exit request."""


@pytest.mark.parametrize("kind", [Boom, Odd])
@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_failing_protocol(loop: Loop, run: Run, errors: Errors, method: str, kind: type[BaseException]) -> None:
    """S17.5: reported, and the transport lives on."""

    def fail(self: Recorder) -> None:
        raise kind

    failing = type("Failing", (Recorder,), {method: fail})

    async def main() -> None:
        async with connection(failing) as (transport, protocol, peer):
            transport.write(BIG)
            await receive(peer, len(BIG))
            await eventually(lambda: errors)
            (context,) = errors
            assert context["message"] == f"protocol.{method}() failed"
            assert type(context["exception"]) is kind
            assert context["transport"] is transport
            assert context["protocol"] is protocol
            transport.write(b"alive")
            assert await receive(peer, 5) == b"alive"

    run(main())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_exit_request_from_pause_writing(loop: Loop, run: Run, kind: type[BaseException]) -> None:
    """S0.11, S17.5: it leaves write()."""

    class Leaving(Recorder):
        def pause_writing(self) -> None:
            raise kind

    async def main() -> None:
        async with connection(Leaving) as (transport, _, _):
            caught = None
            try:
                transport.write(BIG)
            except kind as exc:
                caught = exc
            assert caught is not None

    run(main())


@ferroloop_only("loss was reported twice, or never", "S17.6", sys.version_info < (3, 14))
@pytest.mark.parametrize("call", ["write", "writelines", "close", "abort", "write_eof"])
@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
def test_calls_from_resume_writing(loop: Loop, run: Run, call: str, pair: Any) -> None:
    """S17.6: all bytes are sent, the loss is reported once."""

    class Protocol(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            if call in ("write", "writelines"):
                if len(pressure(self)) < 6:
                    self.transport.write(BIG) if call == "write" else self.transport.writelines([BIG])
                    return
                self.transport.close()
            else:
                getattr(self.transport, call)()

    async def main() -> None:
        async with connection(Protocol, pair) as (transport, protocol, peer):
            transport.write(BIG)
            received = len(await receive_all(peer))
            rounds = pressure(protocol).count("resume")
            if call in ("write", "writelines"):
                assert rounds == 3
                assert received == 3 * len(BIG)
            elif call != "abort":
                assert received == len(BIG)
            if call == "write_eof":
                peer.shutdown(socket.SHUT_WR)
            await eventually(lambda: protocol.lost)
            await asyncio.sleep(0.001)
            assert protocol.lost == [None]

    run(main())


@ferroloop_only("loss was reported without an end", "S17.6", (3, 12) <= sys.version_info < (3, 14))
@pytest.mark.parametrize("between", [None, "get_write_buffer_size", "close", "write_eof"])
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "in a batch"])
def test_writes_from_resume_writing_after_close(loop: Loop, run: Run, between: str | None, others: int) -> None:
    """S17.6: the first one, which the kernel takes at once, does not end what is closing while more are to come."""
    last = BIG[: 1 << 20]

    class Protocol(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            if pressure(self).count("resume") == 1:
                self.transport.write(b"more")
                if between:
                    getattr(self.transport, between)()
                self.transport.write(last)

    async def main() -> None:
        async with connection(Protocol, unix_pair) as (transport, protocol, peer):
            transport.write(BIG)
            transport.close()
            tasks = [asyncio.ensure_future(receive_all(peer))]
            tasks += [asyncio.ensure_future(asyncio.sleep(0)) for _ in range(others)]
            received, *_ = await asyncio.gather(*tasks)
            assert received == BIG + b"more" + last
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [None]

    run(main())


def test_write_from_pause_writing(loop: Loop, run: Run) -> None:
    """S17.2: re-entrantly; the order is kept."""

    class Protocol(Recorder):
        def pause_writing(self) -> None:
            super().pause_writing()
            self.transport.write(b"second")

    async def main() -> None:
        async with connection(Protocol) as (transport, protocol, peer):
            transport.write(BIG)
            transport.write(b"third")
            transport.close()
            assert await receive_all(peer) == BIG + b"secondthird"
            assert pressure(protocol)[0] == "pause"

    run(main())


@pytest.mark.parametrize("end", ["close", "abort"])
def test_ending_from_pause_writing(loop: Loop, run: Run, end: str) -> None:
    """S17.2, S16.21."""

    class Protocol(Recorder):
        def pause_writing(self) -> None:
            super().pause_writing()
            getattr(self.transport, end)()

    async def main() -> None:
        async with connection(Protocol) as (transport, protocol, peer):
            transport.write(BIG)
            received = await receive_all(peer)
            assert (received == BIG) is (end == "close")
            await eventually(lambda: protocol.lost == [None])

    run(main())


def test_drain_waits_for_room(loop: Loop, run: Run) -> None:
    """S17.2, S17.3: as StreamWriter.drain sees it, right after the write."""

    async def main() -> None:
        left, right = tcp_pair()
        _, writer = await asyncio.open_connection(sock=left)
        writer.write(BIG)
        drain = asyncio.ensure_future(writer.drain())
        await asyncio.sleep(0.002)
        assert not drain.done()
        await receive(right, len(BIG))
        await drain
        writer.close()
        await writer.wait_closed()
        right.close()

    run(main())
