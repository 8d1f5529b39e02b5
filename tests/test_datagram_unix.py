"""S26.5, S27.1: datagrams over Unix sockets: paths, abstract names, and none at all."""

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from support.datagrams import endpoint, refused
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually

DGRAM = socket.SOCK_DGRAM


@pytest.mark.parametrize("addr", [("127.0.0.1", 0), b"path", 7])
def test_unix_addresses_are_text(loop: Loop, addr: Any) -> None:
    """S26.5."""
    error = refused(loop, local_addr=addr, family=socket.AF_UNIX)
    assert (type(error), str(error)) == (TypeError, "string is expected")
    error = refused(loop, remote_addr=addr, family=socket.AF_UNIX)
    assert (type(error), str(error)) == (TypeError, "string is expected")


def test_unix(loop: Loop, run: Run, tmp_path: Path) -> None:
    """S26.5, S27.1: paths as addresses, in both directions."""

    async def main() -> None:
        here, there = str(tmp_path / "here"), str(tmp_path / "there")
        async with (
            endpoint(local_addr=here, family=socket.AF_UNIX) as (transport, protocol),
            endpoint(local_addr=there, remote_addr=here, family=socket.AF_UNIX) as (client, answers),
        ):
            assert client.get_extra_info("peername") == here
            client.sendto(b"hello")
            await eventually(lambda: protocol.messages)
            assert protocol.events[1] == ("datagram", b"hello", there)
            transport.sendto(b"answer", there)
            await eventually(lambda: answers.messages == [b"answer"])

    run(main())


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no abstract names here")
def test_abstract_names(loop: Loop, run: Run) -> None:
    """S26.5: nothing is looked for in the file system."""

    async def main() -> None:
        name = f"\0ferroloop-test-{os.getpid()}"
        async with endpoint(local_addr=name, family=socket.AF_UNIX) as (transport, protocol):
            with socket.socket(socket.AF_UNIX, DGRAM) as peer:
                peer.bind(name + "-peer")
                peer.sendto(b"hello", name)
                await eventually(lambda: protocol.messages)
                assert protocol.events[1][2] == peer.getsockname()
                for address in (peer.getsockname(), name + "-peer"):
                    transport.sendto(b"answer", address)
                    assert peer.recv(10) == b"answer"

    run(main())


def test_unnamed_unix_peer(loop: Loop, run: Run) -> None:
    """S27.1: a sender without a name has no address."""

    async def main() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, DGRAM)
        with right:
            async with endpoint(sock=left) as (_, protocol):
                right.send(b"hello")
                await eventually(lambda: protocol.messages)
                assert protocol.events[1] == ("datagram", b"hello", None)

    run(main())


@ferroloop_only("a TypeError that is fatal", "S27.1")
def test_writing_to_an_unnamed_peer(loop: Loop, run: Run) -> None:
    """S27.1."""

    async def main() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, DGRAM)
        with right:
            async with endpoint(sock=left) as (transport, _):
                transport.sendto(b"hello")
                right.settimeout(5)
                assert right.recv(10) == b"hello"

    run(main())


def test_an_address_goes_before_an_unnamed_peer(loop: Loop, run: Run, tmp_path: Path) -> None:
    """S27.1."""

    async def main() -> None:
        left, right = socket.socketpair(socket.AF_UNIX, DGRAM)
        with right, socket.socket(socket.AF_UNIX, DGRAM) as third:
            right.setblocking(False)
            third.bind(str(tmp_path / "third"))
            third.settimeout(5)
            async with endpoint(sock=left) as (transport, protocol):
                transport.sendto(b"hello", str(tmp_path / "third"))
                assert third.recv(10) == b"hello"
                transport.sendto(b"nobody", str(tmp_path / "nobody"))
                await eventually(lambda: protocol.events[-1][0] == "error")
                with pytest.raises(BlockingIOError):
                    right.recv(10)

    run(main())


def test_stale_file(loop: Loop, run: Run, tmp_path: Path) -> None:
    """S26.5: is replaced."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, DGRAM) as old:
        old.bind(path)

    async def main() -> None:
        async with endpoint(local_addr=path, family=socket.AF_UNIX):
            assert stat.S_ISSOCK(os.stat(path).st_mode)

    run(main())


def test_file_that_is_no_socket(loop: Loop, tmp_path: Path) -> None:
    """S26.5: stays."""
    path = tmp_path / "file"
    path.write_text("precious")
    assert isinstance(refused(loop, local_addr=str(path), family=socket.AF_UNIX), OSError)
    assert path.read_text() == "precious"


def test_stale_file_that_cannot_be_removed(
    loop: Loop, tmp_path: Path, logged: LogList, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S26.5: is logged, and left for bind to judge."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, DGRAM) as old:
        old.bind(path)

    def remove(path: str) -> None:
        raise PermissionError(13, "mine")

    monkeypatch.setattr(os, "remove", remove)
    assert isinstance(refused(loop, local_addr=path, family=socket.AF_UNIX), OSError)
    text = f"Unable to check or remove stale UNIX socket {path!r}: PermissionError(13, 'mine')"
    assert text in logged.texts(40)
