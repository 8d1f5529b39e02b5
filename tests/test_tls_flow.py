"""S22.12: when either side of a TLS connection stops the other."""

import asyncio
import contextvars
import socket
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.loops import Run
from support.net import eventually, tcp_pair
from support.protocols import BufferedRecorder, Recorder
from support.tls import tls_connection

pytestmark = pytest.mark.tls_engines

BLOB = bytes(range(256)) * 4096


def test_default_limits(run: Run) -> None:
    """S0.30, S22.12."""

    async def main() -> None:
        async with tls_connection() as (transport, _, _):
            assert transport.get_write_buffer_limits() == (131072, 524288)
            assert transport.get_read_buffer_limits() == (65536, 262144)
            assert transport.get_write_buffer_size() == 0
            assert transport.get_read_buffer_size() == 0

    run(main())


@pytest.mark.parametrize("which", ["write", "read"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"high": 100}, (25, 100)),
        ({"low": 100}, (100, 400)),
        ({"high": 100, "low": 7}, (7, 100)),
        ({}, None),
    ],
)
def test_limits(run: Run, which: str, given: dict[str, int], expected: Any) -> None:
    """S17.1, S22.12."""

    async def main() -> None:
        async with tls_connection() as (transport, _, _):
            before = getattr(transport, f"get_{which}_buffer_limits")()
            getattr(transport, f"set_{which}_buffer_limits")(**given)
            assert getattr(transport, f"get_{which}_buffer_limits")() == (expected or before)

    run(main())


@pytest.mark.parametrize("which", ["write", "read"])
@pytest.mark.parametrize(("high", "low"), [(1, 2), (-1, None), (None, -1)])
def test_wrong_limits(run: Run, which: str, high: int | None, low: int | None) -> None:
    """S17.1."""

    async def main() -> None:
        async with tls_connection() as (transport, _, _):
            with pytest.raises(ValueError, match=r"^high \(-?\d+\) must be >= low \(-?\d+\) must be >= 0$"):
                getattr(transport, f"set_{which}_buffer_limits")(high=high, low=low)

    run(main())


def test_write_pressure(run: Run) -> None:
    """S22.12: pause at the high mark, resume at the low one; nothing is lost."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            total = 0
            while "pause" not in protocol.names:
                transport.write(BLOB[:100_000])
                total += 100_000
            assert transport.get_write_buffer_size() >= 524288
            got = await peer.receive(total)
            assert len(got) == total
            await eventually(lambda: protocol.names == ["made", "pause", "resume"])
            assert transport.get_write_buffer_size() == 0

    run(main())


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_pressure_callback_fails(run: Run, errors: list[dict[str, Any]], method: str) -> None:
    """S17.5: reported, the connection lives on."""

    def fail(self: Any) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        async with tls_connection(type("Broken", (Recorder,), {method: fail})) as (transport, _, peer):
            for _ in range(40):
                transport.write(BLOB[:100_000])
            assert len(await peer.receive(4_000_000)) == 4_000_000
            await eventually(lambda: errors)
            transport.write(b"on")
            assert await peer.receive(2) == b"on"
            assert errors[0]["transport"] is transport

    run(main())
    assert [context["message"] for context in errors] == [f"protocol.{method}() failed"]


def test_pause_reading(run: Run) -> None:
    """S22.12: no data while paused; all of it afterwards."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            assert transport.is_reading()
            transport.pause_reading()
            transport.pause_reading()
            assert not transport.is_reading()
            await peer.send(b"later")
            await eventually(lambda: transport.get_read_buffer_size())
            assert protocol.names == ["made"]
            transport.resume_reading()
            transport.resume_reading()
            assert transport.is_reading()
            await eventually(lambda: protocol.data == b"later")

    run(main())


def test_pause_reading_within_data_received(run: Run) -> None:
    """S22.12."""

    class Single(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    async def main() -> None:
        async with tls_connection(Single) as (transport, protocol, peer):
            await peer.send(b"one")
            await eventually(lambda: protocol.data == b"one")
            await peer.send(b"two")
            await eventually(lambda: transport.get_read_buffer_size())
            assert protocol.data == b"one"
            transport.resume_reading()
            await eventually(lambda: protocol.data == b"onetwo")

    run(main())


def test_read_pressure(run: Run) -> None:
    """S22.12: while the application does not read, the connection below is not read either, beyond the mark."""

    async def main() -> None:
        async with tls_connection(pair=tcp_pair) as (transport, protocol, peer):
            transport.set_read_buffer_limits(high=10_000)
            transport.pause_reading()
            sending = asyncio.ensure_future(peer.send(BLOB * 16))
            await eventually(lambda: transport.get_read_buffer_size() >= 10_000)
            for _ in range(10):
                await asyncio.sleep(0)
            assert transport.get_read_buffer_size() <= 10_000 + 262144
            assert not sending.done()
            transport.resume_reading()
            await sending
            await eventually(lambda: len(protocol.data) == len(BLOB * 16))
            assert protocol.data == BLOB * 16

    run(main(), 30)


@ferroloop_only("runs in the context of who resumes", "S53.5")
@pytest.mark.parametrize("buffered", [False, True])
def test_context_of_what_comes_after_a_pause(run: Run, buffered: bool) -> None:
    """S53.5: all of the protocol's calls are made in one context, whoever resumes it."""
    name = contextvars.ContextVar("name", default="nobody")
    seen: list[str] = []

    class Noting(BufferedRecorder if buffered else Recorder):  # type: ignore[misc]
        def data_received(self, data: bytes) -> None:
            seen.append(name.get())
            super().data_received(data)

        def buffer_updated(self, nbytes: int) -> None:
            seen.append(name.get())
            super().buffer_updated(nbytes)

        def connection_lost(self, exc: BaseException | None) -> None:
            seen.append(name.get())
            super().connection_lost(exc)

    def make() -> Any:
        return Noting(lambda hint: bytearray(1)) if buffered else Noting()

    async def main() -> None:
        name.set("owner")
        async with tls_connection(make) as (transport, protocol, peer):

            async def somebody() -> None:
                name.set("somebody")
                transport.pause_reading()
                await peer.send(b"abc")
                peer.sock.shutdown(socket.SHUT_WR)
                await asyncio.sleep(0.01)
                transport.resume_reading()

            await asyncio.create_task(somebody())
            await eventually(lambda: protocol.lost)
            assert protocol.data == b"abc"

    run(main())
    assert len(seen) == (4 if buffered else 2)
    assert set(seen) == {"owner"}
