"""Random scripts of what a program and its peer do with one datagram endpoint."""

import asyncio
import socket
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st
from support.datagrams import Mailbox, take
from support.turns import turn

Step = tuple[Any, ...]

# The kernel counts the messages of a Unix socket and not their bytes: what it takes depends on nothing else.
SIZES = st.sampled_from([0, 1, 100, 5000])
# More than a Unix datagram may be: an error of this one.
TOO_LONG = 1 << 22


def scripts() -> st.SearchStrategy[list[Step]]:
    """Steps of the program (on the transport) and of its peer (on the raw socket)."""
    step = st.one_of(
        st.tuples(st.just("sendto"), SIZES),
        st.tuples(st.just("sendto"), SIZES, st.integers(2, 15)),
        st.tuples(st.just("sendto"), st.just(TOO_LONG)),
        st.tuples(st.sampled_from(["pause_reading", "resume_reading", "close", "abort"])),
        st.tuples(st.just("limits"), st.sampled_from([0, 50, 10_000])),
        st.tuples(st.just("peer_send"), st.sampled_from([0, 1, 1000]), st.integers(1, 8)),
        st.tuples(st.sampled_from(["peer_take", "peer_take", "peer_close"])),
        st.tuples(st.just("turns"), st.integers(1, 4)),
    )
    return st.lists(step, max_size=15)


class Outcome(NamedTuple):
    """What can be seen of an endpoint from both ends."""

    events: list[str]
    messages: list[bytes]
    errors: list[str]
    lost: list[str]
    received: list[bytes]
    closing: bool
    buffered: int


class Endpoint:
    """One endpoint under a script: over a Unix socket, which has no latency and exact room."""

    def __init__(self, loop: asyncio.AbstractEventLoop, inside: bool, connected: bool) -> None:
        self.loop = loop
        self.inside = inside  # whether the program acts in callbacks or between runs
        self.sent = 0
        self.received: list[bytes] = []
        self.directory = tempfile.TemporaryDirectory()
        here, there = (str(Path(self.directory.name, name)) for name in ("here", "there"))
        self.peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.peer.bind(there)
        self.peer.setblocking(False)
        self.address = None if connected else there
        self.transport: Any
        self.protocol: Mailbox
        self.transport, self.protocol = loop.run_until_complete(
            loop.create_datagram_endpoint(
                Mailbox, local_addr=here, remote_addr=there if connected else None, family=socket.AF_UNIX
            )
        )
        self.peer.connect(here)
        turn(loop)

    def run(self, script: list[Step]) -> Outcome:
        """Play the script, let things settle, look; then end the endpoint."""
        for name, *args in script:
            if name.startswith("peer") or name == "turns":
                getattr(self, f"_{name}")(*args)
            elif self.inside:
                self.loop.call_soon(self._call, name, *args)
                turn(self.loop)
            else:
                self._call(name, *args)
        turn(self.loop, 5)
        closing, buffered = self.transport.is_closing(), self.transport.get_write_buffer_size()
        self._settle()
        if not self.protocol.lost:
            self.transport.abort()
        turn(self.loop, 3)
        self.peer.close()
        self.directory.cleanup()
        return Outcome(
            self.protocol.names,
            self.protocol.messages,
            [type(exc).__name__ for exc in self.protocol.errors],
            [type(exc).__name__ for exc in self.protocol.lost],
            self.received,
            closing,
            buffered,
        )

    def _call(self, name: str, *args: Any) -> None:
        match name:
            case "sendto":
                self._sendto(*args)
            case "limits":
                self.transport.set_write_buffer_limits(high=args[0])
            case _:
                getattr(self.transport, name)()

    def _sendto(self, size: int, times: int = 1) -> None:
        if self.protocol.lost:
            return  # asyncio raises AttributeError (test_datagram_flow)
        for _ in range(times):
            self.sent += 1
            self.transport.sendto(bytes([self.sent % 251]) * size, self.address)

    def _turns(self, count: int) -> None:
        turn(self.loop, count)

    def _peer_send(self, size: int, times: int) -> None:
        for _ in range(times):
            try:
                self.peer.send(b"p" * size)
            except OSError:
                return

    def _peer_take(self) -> None:
        if self.peer.fileno() != -1:
            self.received += take(self.peer)

    def _peer_close(self) -> None:
        self.peer.close()

    def _settle(self) -> None:
        """Take all that comes, until nothing has come for a while."""
        for _ in range(20):
            self._peer_take()
            turn(self.loop, 2)
