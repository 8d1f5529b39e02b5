"""S22: whatever both ends of a TLS connection do, the application sees what it sees on asyncio, and so does the peer.

A script is a list of steps of the application and of the peer, who splits, holds back and truncates what it sends.
After each step the loop runs until nothing moves any more, so that both loops are asked the same. Over TCP the kernel
decides when that is; there, what holds at any speed is compared: every byte in order, and how the connection ended.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import loops
from support.certificates import HOST, client_context, server_context
from support.net import tcp_pair, unix_pair
from support.protocols import BufferedRecorder, Recorder
from support.tls import Peer

Pair = Callable[[], tuple[socket.socket, socket.socket]]

# Iterations after which nothing moves: a step causes a few reads, writes and callbacks at most.
SETTLED = 12

SIZES = st.sampled_from([1, 100, 16384, 16385, 70_000])
APPLICATION = st.one_of(
    st.tuples(st.just("write"), st.sampled_from([1, 100, 16385, 300_000])),
    st.tuples(st.sampled_from(["close", "abort", "pause_reading", "resume_reading"])),
    st.tuples(st.just("limits"), st.sampled_from([0, 1000, 100_000])),
)
PEER = st.one_of(
    st.tuples(st.just("send"), SIZES),
    st.tuples(st.just("hold back"), SIZES, st.integers(1, 30)),
    st.tuples(st.just("trickle"), st.sampled_from([1, 100]), st.integers(1, 40)),
    st.tuples(st.sampled_from(["receive", "goodbye", "shut", "hang up", "garbage"])),
)
SCRIPTS = st.lists(st.one_of(APPLICATION, PEER), max_size=14)
MIDDLES = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from([1, 100, 16385, 300_000])),
        st.tuples(st.just("limits"), st.sampled_from([0, 1000, 100_000])),
        st.tuples(st.sampled_from(["pause_reading", "resume_reading", "receive"])),
        st.tuples(st.just("send"), SIZES),
        st.tuples(st.just("hold back"), SIZES, st.integers(1, 30)),
        st.tuples(st.just("trickle"), st.sampled_from([1, 100]), st.integers(1, 40)),
    ),
    max_size=10,
)
ENDS = st.sampled_from(["close", "goodbye", "shut"])


class Stage:
    """One connection, and what the script does to it."""

    def __init__(self, transport: Any, protocol: Any, peer: Peer) -> None:
        self.transport = transport
        self.protocol = protocol
        self.peer = peer
        self.received = b""
        self.ending = "open"
        # Bytes of the peer that are still to be sent.
        self.held = b""
        # Bytes of application data, both ways.
        self.written = self.sent = 0

    async def step(self, name: str, *arguments: int) -> None:
        """Do one thing and let it have its effects."""
        getattr(self, name.replace(" ", "_"))(*arguments)
        await settle()

    # The application.

    def write(self, size: int) -> None:
        self.transport.write(b"w" * size)
        self.written += size

    def close(self) -> None:
        # To asyncio's transports a second close is the last call.
        if not self.transport._closed:
            self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    def pause_reading(self) -> None:
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        self.transport.resume_reading()

    def limits(self, high: int) -> None:
        self.transport.set_write_buffer_limits(high)

    # The peer.

    def send(self, size: int) -> None:
        self.say(self.records(b"p" * size), 0)

    def hold_back(self, size: int, count: int) -> None:
        self.say(self.records(b"h" * size), count)

    def trickle(self, size: int, count: int) -> None:
        for _ in range(count):
            self.say(self.records(b"t" * size), 0)

    def goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self.say(self.peer.goodbye(), 0)

    def garbage(self) -> None:
        # What asyncio had decrypted before it came upon garbage is lost there.
        if self.transport.is_reading() and not self.held:
            self.say(b"garbage, and more of it", 0)

    def shut(self) -> None:
        if self.ending == "open":
            with contextlib.suppress(OSError):
                self.peer.sock.shutdown(socket.SHUT_WR)

    def hang_up(self) -> None:
        self.receive()
        self.peer.sock.close()
        self.ending = "hung up"

    def receive(self) -> None:
        """Everything there is."""
        while self.ending == "open":
            try:
                data = self.peer.sock.recv(1 << 20)
            except BlockingIOError:
                break
            except ConnectionError:
                data = b""
            if not data:
                self.ending = "end of stream"
            self.peer.incoming.write(data)
            self.decrypt()

    def decrypt(self) -> None:
        try:
            while data := self.peer.tls.read(1 << 20):
                self.received += data
            self.received += b"<close_notify>"
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            self.received += f"<{exc.reason}>".encode()

    def records(self, data: bytes) -> bytes:
        try:
            records = self.peer.records(data)
            self.sent += len(data)
            return records
        except ssl.SSLError:
            return b""  # it has said goodbye

    def say(self, data: bytes, hold: int) -> None:
        self.held += data
        now = self.held[: len(self.held) - hold]
        with contextlib.suppress(OSError):
            sent = self.peer.sock.send(now)
            self.held = self.held[sent:]


async def settle() -> None:
    for _ in range(SETTLED):
        await asyncio.sleep(0)


def summary(events: list[Any]) -> list[Any]:
    """The events, neighbouring data joined, errors by type and reason."""
    found: list[Any] = []
    for event in events:
        if event[0] == "data" and found and found[-1][0] == "data":
            found[-1] = ("data", found[-1][1] + event[1])
        elif event[0] == "lost" and event[1] is not None:
            found.append(("lost", type(event[1]), getattr(event[1], "reason", None)))
        else:
            found.append(event)
    return found


async def connected(pair: Pair, server_side: bool, make: Any) -> Stage:
    """A connection after its handshake."""
    loop = asyncio.get_running_loop()
    left, right = pair()
    context = client_context() if server_side else server_context()
    peer = Peer(right, context, server_side=not server_side)
    shaking = loop.create_task(peer.handshake())
    if server_side:
        made = loop.connect_accepted_socket(make, left, ssl=server_context())
    else:
        made = loop.create_connection(make, sock=left, ssl=client_context(), server_hostname=HOST)
    transport, protocol = await made
    await shaking
    return Stage(transport, protocol, peer)


async def play(script: list[Any], server_side: bool, make: Any) -> tuple[Any, ...]:
    """What application and peer see of a script."""
    stage = await connected(unix_pair, server_side, make)
    transport, protocol = stage.transport, stage.protocol
    for step in script:
        await stage.step(*step)
    before = summary(protocol.events), transport.is_closing(), transport.get_write_buffer_size()
    stage.receive()
    await settle()
    stage.receive()
    transport.abort()
    stage.peer.sock.close()
    while not protocol.lost:
        await asyncio.sleep(0)
    await settle()
    return *before, summary(protocol.events), stage.received, stage.ending


async def play_over_tcp(script: list[Any], end: str, server_side: bool, make: Any) -> tuple[Any, ...]:
    """What application and peer have seen when all has arrived and the connection has ended."""
    stage = await connected(tcp_pair, server_side, make)
    protocol = stage.protocol
    for step in script:
        await stage.step(*step)
    stage.transport.resume_reading()
    while len(protocol.data) < stage.sent or len(stage.received) < stage.written:
        stage.say(b"", 0)
        stage.receive()
        await asyncio.sleep(0)
    await stage.step(end)
    while not protocol.lost:
        stage.receive()
        if stage.received.endswith(b"<close_notify>"):
            stage.goodbye()
        await asyncio.sleep(0)
    stage.peer.sock.close()
    await settle()
    events = [event for event in summary(protocol.events) if event[0] in ("made", "eof", "lost")]
    return protocol.data, events, stage.received[: stage.written]


@pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])
@pytest.mark.parametrize("buffered", [False, True], ids=["protocol", "buffered"])
@given(script=SCRIPTS)
@settings(max_examples=60)
def test_same_as_asyncio(server_side: bool, buffered: bool, script: list[Any]) -> None:
    """S22.11-S22.15."""
    compare(lambda make: play(script, server_side, make), buffered)


@pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])
@pytest.mark.parametrize("buffered", [False, True], ids=["protocol", "buffered"])
@given(script=MIDDLES, end=ENDS)
@settings(max_examples=25)
def test_same_as_asyncio_over_tcp(server_side: bool, buffered: bool, script: list[Any], end: str) -> None:
    """S22.11-S22.15."""
    compare(lambda make: play_over_tcp(script, end, server_side, make), buffered)


def compare(play: Callable[[Any], Coroutine[Any, Any, Any]], buffered: bool) -> None:
    """Play on asyncio and on both engines of ferroloop."""

    def make() -> Any:
        return BufferedRecorder(lambda hint: memoryview(bytearray(5000))) if buffered else Recorder()

    logging.getLogger("asyncio").disabled = True
    seen = {}
    try:
        for kind in loops.kinds(tls_engines=True):
            with asyncio.Runner(loop_factory=loops.factory(kind)) as runner:
                seen[kind] = runner.run(asyncio.wait_for(play(make), 20))
    finally:
        logging.getLogger("asyncio").disabled = False
    for kind, what in seen.items():
        assert what == seen[loops.ORACLE], kind
