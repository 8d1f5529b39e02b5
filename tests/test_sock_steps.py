"""S25: the sock_* calls step by step: cancelled at every await, interrupted, in order."""

import asyncio
import contextlib
import errno
import socket
from typing import Any

import pytest
from support.cancelling import cancel_everywhere
from support.datagrams import udp
from support.gates import ferroloop_only
from support.loops import Loop, Run
from support.net import eventually, listener, refusing, unix_pair


class Interrupted(socket.socket):
    """A socket whose connect is always interrupted by a signal, and goes on behind the scenes."""

    def connect(self, address: Any) -> None:
        with contextlib.suppress(BlockingIOError):
            super().connect(address)
        raise InterruptedError(errno.EINTR, "Interrupted system call")


def test_interrupted_connect(loop: Loop, run: Run) -> None:
    """S25.9: EINTR means that the connection is under way."""

    async def main(address: Any) -> None:
        with Interrupted() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            assert sock.getpeername() == address
            assert loop.remove_writer(sock) is False

    with listener() as server:
        run(main(server.getsockname()))


def test_refused_connect(loop: Loop, run: Run) -> None:
    """S25.8, S25.13: after the wait; the descriptor is free again."""

    async def main(address: Any) -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await loop.sock_connect(sock, address)
            assert loop.remove_writer(sock) is False

    with refusing() as address:
        run(main(address))


def test_connecting_datagrams(loop: Loop, run: Run) -> None:
    """S25.8: names are resolved for datagram sockets, too."""

    async def main() -> None:
        with udp() as peer, udp() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("localhost", peer.getsockname()[1]))
            assert sock.getpeername() == peer.getsockname()

    run(main())


def test_datagrams_in_order(loop: Loop, run: Run) -> None:
    """S25.1, S25.7: each call takes or gives exactly one, empty ones too."""

    async def main() -> None:
        with udp() as left, udp() as right:
            left.setblocking(False)
            right.setblocking(False)
            messages = [b"%d" % n if n % 3 else b"" for n in range(30)]
            for message in messages:
                assert await loop.sock_sendto(left, message, right.getsockname()) == len(message)
            buffer = bytearray(10)
            for n, message in enumerate(messages):
                if n % 2:
                    assert await loop.sock_recvfrom(right, 10) == (message, left.getsockname())
                else:
                    assert await loop.sock_recvfrom_into(right, buffer) == (len(message), left.getsockname())
                    assert buffer[: len(message)] == message

    run(main())


def test_calls_in_order(loop: Loop, run: Run) -> None:
    """S25.1, S4.9: who waited first is served first when everything comes at once."""

    async def main() -> None:
        with contextlib.ExitStack() as stack:
            pairs = [unix_pair() for _ in range(10)]
            for left, right in pairs:
                stack.enter_context(left)
                stack.enter_context(right)
            served: list[int] = []

            async def receive(n: int) -> None:
                assert await loop.sock_recv(pairs[n][0], 10) == b"%d" % n
                served.append(n)

            tasks = [loop.create_task(receive(n)) for n in range(10)]
            await asyncio.sleep(0)
            for n, (_, right) in enumerate(pairs):
                right.send(b"%d" % n)
            await asyncio.gather(*tasks)
            assert served == list(range(10))

    run(main())


@ferroloop_only("the loop has read the data already, and drops it", "S25.5")
@pytest.mark.parametrize("name", ["sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into"])
def test_cancelled_receive_loses_nothing(loop: Loop, name: str) -> None:
    """S25.5: whenever it is cancelled, with data on its way or not."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    received: list[bytes] = []
    sent: list[bytes] = []

    async def start() -> bytes:
        asyncio.get_running_loop().call_soon(send)
        if name.endswith("into"):
            buffer = bytearray(10)
            result = await getattr(loop, name)(left, buffer)
            return bytes(buffer[: result[0] if isinstance(result, tuple) else result])
        result = await getattr(loop, name)(left, 10)
        return result[0] if isinstance(result, tuple) else result

    def send() -> None:
        sent.append(b"%d" % len(sent))
        right.send(sent[-1])

    def check() -> None:
        assert loop.remove_reader(left) is False
        with contextlib.suppress(BlockingIOError):
            while True:
                received.append(left.recv(10))
        assert received == sent

    with left, right:
        left.setblocking(False)
        assert cancel_everywhere(loop, start, received.append, check) > 0


def test_cancelled_send_at_every_step(loop: Loop) -> None:
    """S25.5: no watcher is left, and the socket can be used again at once."""
    left, right = unix_pair()
    data = b"x" * (1 << 20)

    async def start() -> None:
        loop.call_soon(drain)
        await loop.sock_sendall(left, data)

    def drain() -> None:
        with contextlib.suppress(BlockingIOError):
            while right.recv(1 << 16):
                pass
        if asyncio.all_tasks(loop):
            loop.call_soon(drain)

    def check() -> None:
        assert loop.remove_writer(left) is False

    with left, right:
        assert cancel_everywhere(loop, start, lambda result: None, check) > 0


def test_cancelled_connect_of_datagrams(loop: Loop) -> None:
    """S25.5: during the lookup, too; the caller's socket stays the caller's."""
    with udp() as peer, udp() as sock:
        sock.setblocking(False)

        def start() -> Any:
            return loop.sock_connect(sock, ("localhost", peer.getsockname()[1]))

        def check() -> None:
            assert sock.fileno() != -1
            assert loop.remove_writer(sock) is False

        cancel_everywhere(loop, start, lambda result: None, check, pause=0.001)


def test_closed_between_calls(loop: Loop, run: Run) -> None:
    """S25.5, S7.8: whoever gets the number of a socket that was closed after a wait is watched anew."""

    async def main() -> None:
        for n in range(5):
            left, right = unix_pair()
            with left, right:
                task = loop.create_task(loop.sock_recv(left, 10))
                await asyncio.sleep(0)
                right.send(b"%d" % n)
                assert await task == b"%d" % n
                again = loop.create_task(loop.sock_recv(left, 10))
                await asyncio.sleep(0)
                again.cancel()
                await eventually(again.done)

    run(main())
