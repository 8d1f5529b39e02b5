"""Random scripts of what a program and its peer do with one connection."""

import asyncio
import contextlib
import socket
from typing import Any, NamedTuple

from hypothesis import strategies as st
from support.net import unix_pair
from support.protocols import BufferedRecorder, Recorder
from support.turns import turn

Step = tuple[Any, ...]
# Either the kernel takes it whole, or far from it: nothing in between depends on the kernel's mood.
LARGE = 1 << 20
SIZES = st.sampled_from([0, 1, 100, LARGE])


def scripts() -> st.SearchStrategy[list[Step]]:
    """Steps of the program (on the transport) and of its peer (on the raw socket)."""
    step = st.one_of(
        st.tuples(st.just("write"), SIZES),
        st.tuples(st.just("writelines"), st.lists(SIZES, max_size=3)),
        st.tuples(st.sampled_from(["pause_reading", "resume_reading", "write_eof"])),
        st.tuples(st.sampled_from(["close", "abort"])),
        st.tuples(st.just("limits"), st.sampled_from([0, 50, 1 << 19, 1 << 24])),
        st.tuples(st.just("peer_send"), st.sampled_from([1, 1000, 70_000])),
        st.tuples(st.sampled_from(["peer_drain", "peer_drain", "peer_shutdown", "peer_close"])),
        st.tuples(st.just("turns"), st.integers(1, 4)),
    )
    return st.lists(step, max_size=15)


class Outcome(NamedTuple):
    """What can be seen of a connection from both ends."""

    events: list[str]
    data: bytes
    lost: list[str]
    raised: list[str]
    received: object
    closing: bool
    buffered: int


class Connection:
    """One connection under a script, over Unix sockets: what one end does is done for the other at once."""

    pair = staticmethod(unix_pair)

    def __init__(self, loop: asyncio.AbstractEventLoop, inside: bool, eof: bool, kind: Any) -> None:
        self.loop = loop
        self.inside = inside  # whether the program acts in callbacks or between runs
        self.received = bytearray()
        self.payloads: list[bytes] = []
        self.raised: list[str] = []
        self.left, self.peer = self.pair()
        self.transport: Any
        self.protocol: Recorder
        self.transport, self.protocol = loop.run_until_complete(loop.create_connection(kind, sock=self.left))
        self.protocol.eof_result = eof
        self._turns(1)

    def run(self, script: list[Step]) -> Outcome:
        """Play the script, let things settle, look; then end the connection."""
        for name, *args in script:
            step = getattr(self, f"_{name}", None)
            if name.startswith("peer") or name == "turns":
                assert step is not None
                step(*args)
            else:
                self._act(name, *args)
        self._turns(5)
        closing, buffered = self.transport.is_closing(), self._buffered()
        self._peer_drain()
        if not self.protocol.lost:
            self.transport.abort()
        self._turns(3)
        self.peer.close()
        return Outcome(
            self._events(),
            self.protocol.data,
            [type(exc).__name__ for exc in self.protocol.lost],
            self.raised,
            self._received(),
            closing,
            buffered,
        )

    def _events(self) -> list[str]:
        """Without a second eof: asyncio tells of it again after resume_reading (test_tcp)."""
        names = self.protocol.names
        return [name for n, name in enumerate(names) if name != "eof" or "eof" not in names[:n]]

    def _received(self) -> object:
        return bytes(self.received)

    def _buffered(self) -> int:
        size: int = self.transport.get_write_buffer_size()
        return size

    def _act(self, name: str, *args: Any) -> None:
        if self.inside:
            self.loop.call_soon(self._call, name, *args)
            self._turns(1)
        else:
            self._call(name, *args)

    def _call(self, name: str, *args: Any) -> None:
        try:
            match name:
                case "write":
                    self.transport.write(self._payload(args[0]))
                case "writelines":
                    self.transport.writelines([self._payload(size) for size in args[0]])
                case "limits":
                    self.transport.set_write_buffer_limits(high=args[0])
                case _:
                    getattr(self.transport, name)()
        except (RuntimeError, OSError) as exc:  # write after write_eof, write_eof after a reset
            self.raised.append(type(exc).__name__)

    def _payload(self, size: int) -> bytes:
        self.payloads.append(bytes([len(self.payloads) % 251]) * size)
        return self.payloads[-1]

    def _turns(self, count: int) -> None:
        turn(self.loop, count)

    def _peer_send(self, size: int) -> None:
        if self.peer.fileno() != -1:
            with contextlib.suppress(OSError):
                self.peer.send(b"p" * size)

    def _peer_drain(self) -> None:
        """Take all that comes, until nothing has come for a while."""
        idle = 0
        while self.peer.fileno() != -1 and idle < 4:
            try:
                piece = self.peer.recv(1 << 20)
            except OSError:
                piece = b""
            self.received += piece
            idle = 0 if piece else idle + 1
            self._turns(1)

    def _peer_shutdown(self) -> None:
        if self.peer.fileno() != -1:
            with contextlib.suppress(OSError):
                self.peer.shutdown(socket.SHUT_WR)

    def _peer_close(self) -> None:
        self.peer.close()


KINDS = {"plain": Recorder, "buffered": lambda: BufferedRecorder(lambda hint: bytearray(5000))}
