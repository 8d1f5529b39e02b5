"""S22.11, S22.12: application data over TLS, both ways, and when either side stops it."""

import asyncio
import ssl
import sys
from array import array
from asyncio import sslproto
from typing import Any

import pytest
from support.certificates import HOST, client_context, server_context
from support.gates import ferroloop_only, since
from support.loops import Loop, Run
from support.net import eventually, unix_pair
from support.protocols import BufferedRecorder, Recorder
from support.tls import Peer, tls_connection

pytestmark = pytest.mark.tls_engines

SIDES = pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])
BLOB = bytes(range(256)) * 4096


@SIDES
@pytest.mark.parametrize("size", [1, 1024, 16384, 16385, 1 << 20])
def test_there_and_back(run: Run, server_side: bool, size: int) -> None:
    """S22: whatever the number of records."""
    data = BLOB[:size]

    async def main() -> None:
        async with tls_connection(server_side=server_side) as (transport, protocol, peer):
            transport.write(data)
            assert await peer.receive(size) == data
            await peer.send(data)
            await eventually(lambda: len(protocol.data) == size)
            assert protocol.data == data

    run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("piece", [1, 2, 7, 29, 1000])
@pytest.mark.parametrize("make", [Recorder, lambda: BufferedRecorder(lambda hint: memoryview(bytearray(64)))])
def test_records_in_pieces(run: Run, version: ssl.TLSVersion, piece: int, make: Any) -> None:
    """S22: records are split wherever the network likes."""
    context = server_context()
    context.maximum_version = version

    async def main() -> None:
        async with tls_connection(make, pair=unix_pair, peer_context=context) as (_, protocol, peer):
            peer.piece = piece
            for text in (b"a", b"bc" * 50, b"d" * 300):
                await peer.send(text)
            await eventually(lambda: len(protocol.data) == 401)
            assert protocol.data == b"a" + b"bc" * 50 + b"d" * 300

    run(main())


def test_several_records_in_one_read(run: Run) -> None:
    """S22: one data_received for what came together."""

    async def main() -> None:
        async with tls_connection(pair=unix_pair) as (_, protocol, peer):
            await peer.send_raw(b"".join(peer.records(text) for text in (b"one", b"two", b"three")))
            await eventually(lambda: protocol.data)
            assert protocol.events == [("made",), ("data", b"onetwothree")]

    run(main())


def test_data_with_the_last_message_of_the_handshake(run: Run, loop: Loop) -> None:
    """S22: records that came along with it are not forgotten."""

    async def main() -> None:
        left, right = unix_pair()
        peer = Peer(right, client_context(), server_side=False)
        making = loop.create_task(loop.connect_accepted_socket(Recorder, left, ssl=server_context()))
        while True:
            try:
                peer.tls.do_handshake()
            except ssl.SSLWantReadError:
                await peer.flush()
                await peer.take()
            else:
                break
        peer.tls.write(b"early")
        await peer.flush()
        transport, protocol = await making
        await eventually(lambda: protocol.data == b"early")
        assert protocol.names == ["made", "data"]
        transport.abort()
        await eventually(lambda: protocol.lost)
        right.close()

    run(main())


@pytest.mark.parametrize("room", [1, 16, 1000, 1 << 17])
def test_buffered_protocol(run: Run, room: int) -> None:
    """S22: decrypted into the protocol's own buffer, a part at a time if that is small."""

    async def main() -> None:
        def make() -> BufferedRecorder:
            return BufferedRecorder(lambda hint: memoryview(bytearray(room)))

        async with tls_connection(make) as (_, protocol, peer):
            await peer.send(BLOB[:5000])
            await eventually(lambda: len(protocol.data) == 5000)
            assert protocol.data == BLOB[:5000]
            assert all(len(event[1]) <= room for event in protocol.events if event[0] == "data")

    run(main())


class Counter(asyncio.Protocol):
    """Keeps nothing but the number of the bytes received."""

    count = 0

    def data_received(self, data: bytes) -> None:
        self.count += len(data)


class BufferedCounter(Counter, asyncio.BufferedProtocol):
    """The same with a buffer of its own."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(1000))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.count += nbytes


@pytest.mark.parametrize("make", [Counter, BufferedCounter])
def test_nothing_is_kept_of_a_read(run: Run, make: type[Counter]) -> None:
    """S22: the memory of a connection does not grow with what it has received."""

    async def main() -> None:
        async with tls_connection(make, pair=unix_pair) as (_, protocol, peer):

            async def receive(total: int) -> None:
                await peer.send(BLOB[: total - protocol.count])
                await eventually(lambda: protocol.count == total)

            for total in range(600, 60_000, 600):
                await receive(total)
            before = sys.getallocatedblocks()
            for total in range(60_000, 360_000, 600):
                await receive(total)
            assert sys.getallocatedblocks() < before + 250

    run(main())


@ferroloop_only("copies slices of a bytearray and decrypts into the copies", "S22")
def test_bytearray_as_buffer(run: Run) -> None:
    """S16.7: any writable buffer will do, and it may be resized afterwards."""

    class Resizing(BufferedRecorder):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            self.buffer.extend(b"more")

    async def main() -> None:
        async with tls_connection(lambda: Resizing(lambda hint: bytearray(100)), pair=unix_pair) as (_, protocol, peer):
            await peer.send_raw(peer.records(b"x" * 60) + peer.records(b"y" * 60))
            await eventually(lambda: len(protocol.data) == 120)
            assert protocol.data == b"x" * 60 + b"y" * 60

    run(main())


@ferroloop_only("takes items for bytes where it slices", "S16.7")
def test_buffer_of_wide_items(run: Run) -> None:
    """S16.7: it is filled whole, and what does not fit comes next."""

    async def main() -> None:
        def make() -> BufferedRecorder:
            return BufferedRecorder(lambda hint: array("I", bytes(100)))

        async with tls_connection(make) as (_, protocol, peer):
            await peer.send_raw(peer.records(BLOB[:150]) + peer.records(BLOB[150:500]))
            await eventually(lambda: len(protocol.data) == 500)
            assert protocol.data == BLOB[:500]
            assert [len(event[1]) for event in protocol.events if event[0] == "data"] == [100] * 5

    run(main())


@ferroloop_only("takes an empty buffer for the end of the connection", "S16.7")
def test_empty_buffer(run: Run, errors: list[dict[str, Any]]) -> None:
    """S16.7: the same error as without TLS."""

    async def main() -> None:
        async with tls_connection(BufferedRecorder) as (_, protocol, peer):
            protocol.allocate = lambda hint: bytearray()
            await peer.send(b"x")
            await eventually(lambda: protocol.lost)
            assert "empty buffer" in str(protocol.lost[0])

    run(main())
    assert [context["message"] for context in errors] == ["Fatal error on SSL protocol"]


@pytest.mark.parametrize("method", ["data_received", "get_buffer", "buffer_updated"])
def test_protocol_fails(run: Run, loop: Loop, method: str) -> None:
    """S16.9, S9.3: reported as in an except clause, and the connection is lost over it."""
    base = Recorder if method == "data_received" else BufferedRecorder
    reports: list[tuple[str, BaseException | None]] = []
    loop.set_exception_handler(lambda _, context: reports.append((context["message"], sys.exc_info()[1])))
    failure = ZeroDivisionError()

    def fail(argument: Any) -> None:
        raise failure

    async def main() -> None:
        async with tls_connection(base) as (_, protocol, peer):
            setattr(protocol, method, fail)
            protocol.transport.set_protocol(protocol)  # asyncio remembers the methods
            await peer.send(b"x")
            await eventually(lambda: protocol.lost)
            assert protocol.lost == [failure]

    run(main())
    assert reports == [("Fatal error on SSL protocol", failure)]


@pytest.mark.parametrize("exit_request", [SystemExit, KeyboardInterrupt])
def test_exit_request(loop: Loop, exit_request: type[BaseException]) -> None:
    """S0.11: leaves the run; the connection goes on when the loop does."""

    class Quitter(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if data == b"quit":
                raise exit_request

    async def main() -> None:
        async with tls_connection(Quitter) as (_, protocol, peer):
            await peer.send(b"quit")
            await eventually(lambda: protocol.data == b"quit")
            await peer.send(b"on")
            await eventually(lambda: protocol.data == b"quiton")

    task = loop.create_task(main())
    with pytest.raises(exit_request):
        loop.run_forever()
    loop.run_until_complete(asyncio.wait_for(task, 10))


def test_garbage(run: Run, errors: list[dict[str, Any]]) -> None:
    """S22.10: not TLS any more: the connection is lost with the SSLError; nothing is reported."""

    async def main() -> None:
        async with tls_connection() as (_, protocol, peer):
            await peer.send_raw(b"this is not a record at all")
            await eventually(lambda: protocol.lost)
            assert [type(exc) for exc in protocol.lost] == [ssl.SSLError]

    run(main())
    assert errors == []


@since(3, 12)
def test_errors_stay_with_their_connection(run: Run, errors: list[dict[str, Any]]) -> None:
    """S22.10: what OpenSSL has queued for a connection that fails otherwise is not the next one's."""

    class Fickle:
        """A buffer that can be had twice."""

        def __init__(self) -> None:
            self.left = 2

        def __len__(self) -> int:
            return 4096

        def __buffer__(self, flags: int) -> memoryview:
            self.left -= 1
            if self.left < 0:
                raise BufferError("no more")
            return memoryview(bytearray(4096))

    async def main() -> None:
        sick = tls_connection(lambda: BufferedRecorder(lambda hint: Fickle()), pair=unix_pair)
        async with sick as (_, failing, forger), tls_connection(pair=unix_pair) as (_, protocol, peer):
            await forger.send_raw(b"\x17\x03\x03\x00\x20" + bytes(32))
            await eventually(lambda: failing.lost)
            await peer.send(BLOB)
            await eventually(lambda: protocol.data == BLOB)

    run(main())


def test_forged_record(run: Run) -> None:
    """S22.10: one bit of a record was changed on the way."""

    async def main() -> None:
        async with tls_connection() as (_, protocol, peer):
            record = bytearray(peer.records(b"transfer 100"))
            record[-3] ^= 1
            await peer.send_raw(bytes(record))
            await eventually(lambda: protocol.lost)
            assert protocol.names == ["made", "lost"]
            assert isinstance(protocol.lost[0], ssl.SSLError)

    run(main())


@pytest.mark.parametrize("wrong", ["text", 5, None, [b"x"]])
def test_write_wrong_type(run: Run, wrong: Any) -> None:
    """S22: asyncio's text for TLS."""
    text = f"^data: expecting a bytes-like instance, got {type(wrong).__name__}$"

    async def main() -> None:
        async with tls_connection() as (transport, _, _):
            with pytest.raises(TypeError, match=text):
                transport.write(wrong)

    run(main())


@ferroloop_only("loses the connection over it", "S22")
def test_writelines_wrong_type(run: Run) -> None:
    """S16.11: refused as a whole, and the connection lives on."""

    async def main() -> None:
        async with tls_connection() as (transport, _, peer):
            with pytest.raises(TypeError):
                transport.writelines([b"never", "text"])
            transport.write(b"x")
            assert await peer.receive(1) == b"x"

    run(main())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_write_types(run: Run, kind: Any) -> None:
    """S16.15: later changes of the buffer do not matter."""

    async def main() -> None:
        async with tls_connection() as (transport, _, peer):
            data = bytearray(b"before")
            transport.write(kind(data))
            data[:] = b"after!"
            transport.write(b"")
            transport.writelines([kind(b"x"), b"", kind(b"yz")])
            transport.writelines([])
            assert await peer.receive(9) == b"beforexyz"

    run(main())


def test_write_in_order(run: Run) -> None:
    """S22: what waits goes before what comes."""

    async def main() -> None:
        async with tls_connection(pair=unix_pair) as (transport, _, peer):
            pieces = [bytes([n]) * (n * 1000) for n in range(1, 60)]
            for piece in pieces:
                transport.write(piece)
            whole = b"".join(pieces)
            assert await peer.receive(len(whole)) == whole

    run(main())


def test_write_from_data_received(run: Run) -> None:
    """S22: an echo that answers within the callback."""

    class Echo(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(data)

    async def main() -> None:
        async with tls_connection(Echo) as (_, _, peer):
            await asyncio.gather(peer.send(BLOB), receive_all(peer))

    async def receive_all(peer: Any) -> None:
        assert await peer.receive(len(BLOB)) == BLOB

    run(main(), 30)


def test_set_protocol(run: Run) -> None:
    """S16: data goes to the new protocol, buffered or not."""

    async def main() -> None:
        async with tls_connection() as (transport, protocol, peer):
            await peer.send(b"one")
            await eventually(lambda: protocol.data == b"one")
            second, third = BufferedRecorder(), Recorder()
            transport.set_protocol(second)
            await peer.send(b"two")
            await eventually(lambda: second.data == b"two")
            transport.set_protocol(third)
            await peer.send(b"three")
            await eventually(lambda: third.data == b"three")
            assert transport.get_protocol() is third
            transport.abort()
            await eventually(lambda: third.lost)
            assert (protocol.lost, second.lost) == ([], [])

    run(main())


def test_session_tickets(run: Run) -> None:
    """RFC 8446, 4.6.1: messages after the handshake that are no application data pass unnoticed."""

    async def main() -> None:
        async with tls_connection(peer_context=server_context()) as (transport, protocol, peer):
            await peer.flush()
            for _ in range(5):
                await asyncio.sleep(0)
            assert protocol.names == ["made"]
            transport.write(b"x")
            assert await peer.receive(1) == b"x"

    run(main())


@SIDES
def test_below_asyncio_protocol(run: Run, loop: Loop, server_side: bool) -> None:
    """S22.17: a socket transport carries asyncio's own TLS protocol too, as of programs that bring one along."""

    async def main() -> None:
        left, right = unix_pair()
        peer = Peer(right, client_context() if server_side else server_context(), server_side=not server_side)
        waiter = loop.create_future()
        name = None if server_side else HOST
        context = server_context() if server_side else client_context()
        protocol = Recorder()
        tls = sslproto.SSLProtocol(loop, protocol, context, waiter, server_side, name)
        if server_side:
            below, _ = await loop.connect_accepted_socket(lambda: tls, left)
        else:
            below, _ = await loop.create_connection(lambda: tls, sock=left)
        await peer.handshake()
        await waiter
        protocol.transport.write(BLOB)
        assert await peer.receive(len(BLOB)) == BLOB
        protocol.transport.pause_reading()
        sending = loop.create_task(peer.send(BLOB))
        await eventually(lambda: not below.is_reading())
        assert protocol.data == b""
        protocol.transport.resume_reading()
        await sending
        await eventually(lambda: protocol.data == BLOB)
        protocol.transport.close()
        await peer.unwrap()
        await eventually(lambda: protocol.lost)
        assert protocol.lost == [None]
        assert below.is_closing()
        right.close()

    run(main())


@ferroloop_only("takes from its backlog what is gone already", "S22.12")
def test_data_with_a_finalizer(run: Run) -> None:
    """S22.12: what is written may be of a class that writes more when it is dropped."""

    class Last(bytes):
        def __del__(self) -> None:
            writers[0].write(b"y")

    writers: list[Any] = []

    async def main() -> None:
        async with tls_connection() as (transport, _, peer):
            writers.append(transport)
            transport.writelines(Last(b"x" * 5) for _ in range(2))
            transport.write(b"z")
            assert sorted(await peer.receive(13)) == sorted(b"xxxxxxxxxxyyz")

    run(main())
