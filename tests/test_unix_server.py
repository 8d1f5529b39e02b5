"""S29: create_unix_server, and the files of its sockets."""

import asyncio
import errno
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.gates import before, ferroloop_only, linux_only, since
from support.log import LogList
from support.loops import Loop, Run
from support.net import eventually
from support.protocols import Recorder
from support.turns import turn
from support.unix import listening, served

CLEANS_UP = sys.version_info >= (3, 13)


def never() -> Any:
    """A protocol factory that must not be called."""
    raise AssertionError("protocol_factory was called")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a socket may be bound."""
    return str(tmp_path / "socket")


WRONG_SERVER: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "ssl a bool": (
        {"path": "p", "ssl": True},
        TypeError,
        "^ssl argument must be an SSLContext or None$",
    ),
    "handshake timeout": (
        {"path": "p", "ssl_handshake_timeout": 1.0},
        ValueError,
        "^ssl_handshake_timeout is only meaningful with ssl$",
    ),
    "shutdown timeout": (
        {"path": "p", "ssl_shutdown_timeout": 1.0},
        ValueError,
        "^ssl_shutdown_timeout is only meaningful with ssl$",
    ),
    "nothing": ({}, ValueError, "^path was not specified, and no sock specified$"),
}


@pytest.mark.parametrize("name", WRONG_SERVER)
def test_wrong_server(loop: Loop, run: Run, name: str) -> None:
    """S29.1, S29.2."""
    kwargs, kind, text = WRONG_SERVER[name]
    with pytest.raises(kind, match=text):
        run(loop.create_unix_server(never, **kwargs))


@before(3, 13)
def test_cleanup_socket_is_newer(loop: Loop, run: Run, path: str) -> None:
    """S0.3, S53.3."""
    with pytest.raises(TypeError):
        run(loop.create_unix_server(never, path, cleanup_socket=True))
    assert not os.path.exists(path)


@pytest.mark.parametrize("form", [str, os.fsencode, Path])
def test_serves(loop: Loop, run: Run, path: str, form: Callable[[str], Any]) -> None:
    """S29.9, S46.1, S16.4, S57.2."""

    async def main() -> None:
        async with served(form(path)) as (server, protocols):
            assert server.is_serving()
            (view,) = server.sockets
            assert view.getsockname() == path
            reader, writer = await asyncio.open_unix_connection(path)
            assert writer.get_extra_info("peername") == path
            assert writer.get_extra_info("sockname") == ""
            writer.write(b"question")
            await eventually(lambda: protocols and protocols[0].data == b"question")
            accepted = protocols[0].transport
            assert accepted.get_extra_info("sockname") == path
            assert accepted.get_extra_info("peername") == ""
            accepted.write(b"answer")
            accepted.close()
            assert await reader.read() == b"answer"
            writer.close()
            await writer.wait_closed()

    run(main())


def test_names_of_bound_clients(loop: Loop, run: Run, path: str, tmp_path: Path) -> None:
    """S16.4: a client may have a name of its own."""
    own = str(tmp_path / "client-\udce9")

    async def main() -> None:
        async with served(path) as (_, protocols):
            with socket.socket(socket.AF_UNIX) as client:
                client.bind(own)
                client.connect(path)
                await eventually(lambda: protocols and protocols[0].transport)
                assert protocols[0].transport.get_extra_info("peername") == own

    run(main())


@linux_only
def test_peer_credentials(loop: Loop, run: Run, path: str) -> None:
    """S46.2: who is at the other end is asked of the view."""

    async def main() -> None:
        async with served(path) as (_, protocols):
            transport, _ = await loop.create_unix_connection(Recorder, path)
            await eventually(lambda: protocols and protocols[0].transport)
            for end in transport, protocols[0].transport:
                sock = end.get_extra_info("socket")
                size = struct.calcsize("3i")
                raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
                assert struct.unpack("3i", raw) == (os.getpid(), os.getuid(), os.getgid())
                assert sock.family == socket.AF_UNIX
                assert sock.type == socket.SOCK_STREAM
            transport.abort()

    run(main())


def test_passing_descriptors(loop: Loop, run: Run, tmp_path: Path) -> None:
    """S46.3: through a duplicate of the socket, after what was written before."""
    sent = tmp_path / "file"
    sent.write_bytes(b"content")

    async def main() -> None:
        left, right = socket.socketpair()
        transport, _ = await loop.create_unix_connection(Recorder, sock=left)
        transport.write(b"first,")
        with transport.get_extra_info("socket").dup() as duplicate, open(sent) as file:
            socket.send_fds(duplicate, [b"second"], [file.fileno()])
        transport.close()
        data, fds, _, _ = socket.recv_fds(right, 6, 1)
        assert (data, fds) == (b"first,", [])
        data, (fd,), _, _ = socket.recv_fds(right, 100, 1)
        assert data == b"second"
        with open(fd, "rb") as received:
            assert received.read() == b"content"
        right.close()

    run(main())


def test_streams(loop: Loop, run: Run, path: str) -> None:
    """S57.2: start_unix_server and open_unix_connection, unchanged."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main() -> None:
        data = os.urandom(1 << 20)
        server = await asyncio.start_unix_server(echo, path)
        reader, writer = await asyncio.open_unix_connection(path)

        async def send() -> None:
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        received, _ = await asyncio.gather(reader.read(), send())
        assert received == data
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())


def test_starts_later(loop: Loop, run: Run, path: str) -> None:
    """S29.9: bound, but not listening."""

    async def main() -> None:
        async with served(path, start_serving=False) as (server, protocols):
            assert not server.is_serving()
            with pytest.raises(ConnectionRefusedError):
                await loop.create_unix_connection(never, path)
            await server.start_serving()
            transport, _ = await loop.create_unix_connection(Recorder, path)
            await eventually(lambda: len(protocols) == 1)
            transport.abort()

    run(main())


def test_starting_takes_one_iteration(loop: Loop, path: str) -> None:
    """S29.9."""
    task = loop.create_task(loop.create_unix_server(Recorder, path))
    turn(loop)
    assert not task.done()
    turn(loop)
    task.result().close()


@pytest.mark.parametrize("alive", [False, True])
def test_socket_file_is_replaced(loop: Loop, run: Run, path: str, alive: bool) -> None:
    """S29.4: whether or not somebody listens on it."""

    async def main() -> None:
        with listening(path) as other:
            if not alive:
                other.close()
            async with served(path) as (_, protocols):
                transport, _ = await loop.create_unix_connection(Recorder, path)
                await eventually(lambda: len(protocols) == 1)
                transport.abort()

    run(main())


def test_other_files_are_left_alone(loop: Loop, run: Run, path: str) -> None:
    """S29.4, S29.7: and the error names the path, without a cause."""
    Path(path).write_text("precious")
    with pytest.raises(OSError, match="is already in use") as caught:
        run(loop.create_unix_server(never, path))
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.strerror == f"Address {path!r} is already in use"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert Path(path).read_text() == "precious"


def test_other_bind_errors(loop: Loop, run: Run, tmp_path: Path, logged: LogList) -> None:
    """S29.5, S29.7: a missing file is fine, and bind says what else is wrong."""
    with pytest.raises(FileNotFoundError):
        run(loop.create_unix_server(never, str(tmp_path / "nowhere" / "socket")))
    assert logged.texts(40) == []
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        run(loop.create_unix_server(never, "x" * 200))


def test_unreadable_place(loop: Loop, run: Run, path: str, logged: LogList) -> None:
    """S29.5: logged, and bind is tried anyway."""
    Path(path).write_text("a file where a directory should be")
    below = os.path.join(path, "socket")
    with pytest.raises(NotADirectoryError) as caught:
        run(loop.create_unix_server(never, below))
    text = f"Unable to check or remove stale UNIX socket {below!r}: {caught.value!r}"
    assert logged.texts(40) == [text]


@ferroloop_only("leaks the socket", "S29.8")
@pytest.mark.parametrize("empty", ["", b""])
def test_empty_path(loop: Loop, run: Run, empty: Any) -> None:
    """S29.8: refused, and nothing is left open (see the fixture)."""
    with pytest.raises(IndexError):
        run(loop.create_unix_server(never, empty))


@ferroloop_only("fails in its own search for the file", "S29.10", when=CLEANS_UP)
def test_unbound_socket(loop: Loop, run: Run) -> None:
    """S29.3: the kernel says what is wrong with it."""
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(OSError, match="Invalid argument"):
        run(loop.create_unix_server(never, sock=sock))


@pytest.mark.parametrize("given", [False, True])
def test_cleanup(loop: Loop, run: Run, path: str, given: bool) -> None:
    """S29.10, S29.12, S18.13: the file goes with the server; also that of a given socket."""

    async def main() -> None:
        if given:
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(path)
            server = await loop.create_unix_server(never, sock=sock)
        else:
            server = await loop.create_unix_server(never, path)
        assert os.path.exists(path)
        server.close()
        await server.wait_closed()
        assert os.path.exists(path) is not CLEANS_UP

    run(main())


@since(3, 13)
def test_no_cleanup(loop: Loop, run: Run, path: str) -> None:
    """S29.10."""

    async def main() -> None:
        server = await loop.create_unix_server(never, path, cleanup_socket=False)
        server.close()
        await server.wait_closed()
        assert os.path.exists(path)

    run(main())


@since(3, 13)
@pytest.mark.parametrize("successor", ["nothing", "socket", "file"])
def test_cleanup_of_the_right_file(loop: Loop, run: Run, path: str, successor: str) -> None:
    """S29.10, S29.11: only if it is still the same."""

    async def main() -> None:
        server = await loop.create_unix_server(never, path)
        os.rename(path, path + ".old")  # keeps the inode from being given to the successor
        if successor == "socket":
            other = await loop.create_unix_server(never, path)
        elif successor == "file":
            Path(path).write_text("precious")
        server.close()
        await server.wait_closed()
        assert os.path.exists(path) is (successor != "nothing")
        if successor == "socket":
            other.close()
            assert not os.path.exists(path)

    run(main())


@since(3, 13)
def test_cleanup_fails(loop: Loop, run: Run, path: str, logged: LogList) -> None:
    """S29.11."""
    directory = os.path.dirname(path)

    async def main() -> None:
        server = await loop.create_unix_server(never, path)
        os.rename(directory, directory + ".old")
        Path(directory).write_text("a file in the place of the directory")
        server.close()

    run(main())
    error = NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    assert logged.texts(40) == [f"Unable to clean up listening UNIX socket {path!r}: {error!r}"]


def test_loop_close_leaves_the_file(loop: Loop, path: str) -> None:
    """S29.13."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        loop.run_until_complete(loop.create_unix_server(never, sock=sock))
        loop.close()
    assert os.path.exists(path)
