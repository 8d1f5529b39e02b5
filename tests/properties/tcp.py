"""The same scripts over TCP, in lock-step: nobody acts before what was done last has reached the other end.

TCP delivers when it likes, and an end that closes with something unread resets the connection. So after each act, and
after each iteration of the loop, the kernel's queues are asked whether anything is still on its way; and a peer who
closes has first taken all there is, or means a reset. What TCP leaves open even so is not compared: how the bytes are
divided, and how much of a large write the kernel keeps.
"""

import contextlib
import fcntl
import select
import socket
import struct
import termios
import time
from typing import Any

from hypothesis import strategies as st
from properties.stream import LARGE, SIZES, Connection, Step
from support.net import reset
from support.turns import turn

# linux/sockios.h: the bytes of TIOCOUTQ (not acknowledged yet) that were not even sent, for want of room over there.
SIOCOUTQNSD = 0x894B
# Segments far smaller than the buffers: with the loopback's of 64 KiB a sender waits for acknowledgements, which are
# delayed while a receiver waits for more segments.
SEGMENT = 1448
BUFFER = 65536
# Bytes on the way to the program that always find room, and the iterations that read them by 5000.
UNREAD = 40_000
READ = 10
ENDED = select.POLLHUP | select.POLLERR
# Seconds after which the other end has not noticed at all, and between two looks.
PATIENCE, PAUSE = 20, 0.0002


def scripts() -> st.SearchStrategy[list[Step]]:
    """Steps of the program and of its peer, who splits, delays and truncates."""
    step = st.one_of(
        st.tuples(st.just("write"), SIZES),
        st.tuples(st.just("writelines"), st.lists(SIZES, max_size=2)),
        st.tuples(st.sampled_from(["pause_reading", "resume_reading", "write_eof"])),
        st.tuples(st.sampled_from(["close", "abort"])),
        st.tuples(st.just("limits"), st.sampled_from([0, 50, 1 << 19, 1 << 24])),
        st.tuples(st.just("peer_send"), st.sampled_from([1, 1000, 20_000])),
        st.tuples(st.just("peer_trickle"), st.integers(2, 9)),
        st.tuples(st.sampled_from(["peer_drain", "peer_drain", "peer_shutdown", "peer_close", "peer_reset"])),
        st.tuples(st.just("turns"), st.integers(1, 4)),
    )
    return st.lists(step, max_size=15)


def small_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that together keep a few hundred KiB, whatever the system's defaults."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            listener.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        left = stack.enter_context(socket.socket())
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            left.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        left.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        left.connect(listener.getsockname())
        right, _ = listener.accept()
        stack.pop_all()
    for sock in (left, right):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
    return left, right


class TcpConnection(Connection):
    """One TCP connection under a script."""

    pair = staticmethod(small_pair)

    def __init__(self, *args: Any) -> None:
        self.ending = "open"
        self.sent = 0
        super().__init__(*args)

    def _received(self) -> object:
        """How many payloads came whole, what began then, and how it ended.

        Of a large payload that was cut off the peer has as much as the kernel had taken. And a reset, which is how a
        socket ends that is closed with something unread, destroys whatever of a large payload and of those behind it
        was still in the sender's queue: then it is only sure that what came is the beginning.
        """
        rest = memoryview(self.received)
        whole = 0
        while whole < len(self.payloads) and rest[: len(self.payloads[whole])] == self.payloads[whole]:
            rest = rest[len(self.payloads[whole]) :]
            whole += 1
        if self.ending == "reset" and any(len(payload) == LARGE for payload in self.payloads):
            return set(rest) <= {whole}, self.ending
        return whole, set(rest), self.ending

    def _buffered(self) -> int:
        """In payloads of LARGE, rounded up: the kernel has some of the first."""
        return -(-super()._buffered() // LARGE)

    def _act(self, name: str, *args: Any) -> None:
        super()._act(name, *args)
        self._settle()

    def _turns(self, count: int) -> None:
        for _ in range(count):
            self._settle()
            turn(self.loop)
        self._settle()

    # The peer.

    def _peer_send(self, size: int) -> None:
        if self.sent + size - len(self.protocol.data) <= UNREAD:
            self._peer_say(b"p" * size)

    def _peer_trickle(self, count: int) -> None:
        for number in range(count):
            self._peer_say(bytes([number]))

    def _peer_say(self, data: bytes) -> None:
        if self.peer.fileno() == -1:
            return
        try:
            self.sent += self.peer.send(data)
        except ConnectionResetError:
            self.ending = "reset"  # told once; recv() then says that the stream has ended
        except BrokenPipeError:
            pass
        self._settle()

    def _peer_shutdown(self) -> None:
        super()._peer_shutdown()
        self._settle()

    def _peer_close(self) -> None:
        self._peer_drain()
        super()._peer_close()
        self._settle()

    def _peer_reset(self) -> None:
        if self.peer.fileno() != -1:
            reset(self.peer)
        self._settle()

    def _peer_drain(self) -> None:
        """Take all that was written. What the program can read it has read before, so as not to have it in between."""
        self._turns(READ)
        deadline = time.monotonic() + PATIENCE
        while self.peer.fileno() != -1 and self.ending == "open":
            assert time.monotonic() < deadline, "it does not come"
            try:
                piece = self.peer.recv(1 << 20)
            except BlockingIOError:
                if self.left.fileno() != -1 and not self._buffered() and not queued(self.left, termios.TIOCOUTQ):
                    break
                self._turns(1)
            except ConnectionError:
                self.ending = "reset"
            else:
                self.received += piece
                self.ending = self.ending if piece else "end of stream"
        self._turns(1)

    # The network.

    def _settle(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not (arrived(self.left, self.peer) and arrived(self.peer, self.left)):
            assert time.monotonic() < deadline, "it does not arrive"
            time.sleep(PAUSE)


def arrived(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether what the sender has done is known to the receiver, and the sender knows that; as far as there is room."""
    if sender.fileno() != -1:
        if events(sender) & ENDED or queued(sender, termios.TIOCOUTQ) == queued(sender, SIOCOUTQNSD):
            return True
        if receiver.fileno() != -1:
            # Not to wait for more before it acknowledges what it has. (It waits all the same, 40 ms at most, if it has
            # less than a segment and nobody has read that.)
            receiver.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return False
    if receiver.fileno() != -1:
        # The end of the stream may be behind something that finds no room.
        return bool(events(receiver) & (ENDED | select.POLLRDHUP)) or queued(receiver, termios.FIONREAD) > UNREAD
    return True


def events(sock: socket.socket) -> int:
    """What poll(2) says of a socket."""
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLRDHUP)
    found = poll.poll(0)
    return found[0][1] if found else 0


def queued(sock: socket.socket, which: int) -> int:
    """The length of one of the kernel's queues (tcp(7))."""
    size: int = struct.unpack("i", fcntl.ioctl(sock, which, bytes(4)))[0]
    return size
