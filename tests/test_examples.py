"""The examples do what they say: each starts on a free port, does its job, and ends at Ctrl-C without a word."""

import asyncio
import contextlib
import hashlib
import http.client
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from programs import launch
from support import loops
from support.net import refusing

pytestmark = pytest.mark.skipif(loops.ORACLE_ALONE, reason="oracle-only run")

EXAMPLES = Path(__file__).parent.parent / "examples"
BODY = os.urandom(1 << 20) * 3


@contextlib.contextmanager
def serving(name: str, *arguments: str) -> Iterator[tuple[str, int]]:
    """The address of a running example, which ends well."""
    with launch.start([sys.executable, str(EXAMPLES / name), *arguments]) as program:
        host, port = program.read_until("listening on ").split()
        yield host, int(port)
        assert program.end(signal.SIGINT) == (0, "")


class Guest:
    """Somebody in the chat."""

    def __init__(self, address: tuple[str, int], name: str) -> None:
        self._socket = socket.create_connection(address, timeout=20)
        self._lines = self._socket.makefile("r")
        self.say(name)

    def say(self, words: str) -> None:
        self._socket.sendall(f"{words}\n".encode())

    def hears(self) -> str:
        return self._lines.readline().rstrip()

    def leave(self) -> None:
        self._lines.close()
        self._socket.close()


def test_chat() -> None:
    with serving("chat.py") as address:
        ada = Guest(address, "Ada")
        assert ada.hears() == "* Ada joined, 1 here"
        bob = Guest(address, "Bob")
        assert [ada.hears(), bob.hears()] == ["* Bob joined, 2 here"] * 2
        for words in ("", "hello"):
            ada.say(words)
            assert bob.hears() == f"Ada: {words}".rstrip()
        ada.leave()
        assert bob.hears() == "* Ada left"
        stranger = Guest(address, "x" * 100_000)  # longer than a line may be
        stranger._socket.recv(1)
        bob.say("still here")
        stranger.leave()
        bob.leave()


class Upstream:
    """A server that answers each request with its method, its body's digest, and then a large body."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._listener.getsockname())
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Upstream":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        self.heads.append(head)
        length = int(dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:]).get(b"Content-Length", 0))
        while len(body) < length:
            body += connection.recv(65536)
        answer = hashlib.sha256(body).hexdigest().encode() + BODY
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)


def ask(address: tuple[str, int], method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_proxy() -> None:
    with Upstream() as upstream, serving("proxy.py", upstream.address) as address:
        status, answer = ask(address, "POST", "/somewhere?x=1", BODY)
        assert (status, answer) == (200, hashlib.sha256(BODY).hexdigest().encode() + BODY)
        head = upstream.heads[0].split(b"\r\n")
        assert head[0] == b"POST /somewhere?x=1 HTTP/1.1"
        assert b"Host: " + upstream.address.encode() in head
        assert b"Connection: close" in head
        with socket.create_connection(address, timeout=20) as nonsense:
            nonsense.sendall(b"no head\r\n")
            nonsense.shutdown(socket.SHUT_WR)
            assert nonsense.recv(100).startswith(b"HTTP/1.1 400 ")


def test_proxy_without_upstream() -> None:
    with refusing() as (host, port), serving("proxy.py", f"{host}:{port}") as address:
        assert ask(address, "GET", "/") == (502, b"")


def test_broadcast() -> None:
    async def talk(host: str, port: int) -> None:
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            url = f"http://{host}:{port}/room"
            async with session.ws_connect(url) as ada, session.ws_connect(url) as bob, session.ws_connect(url) as cem:
                # An echo tells that all are in the room; before that some would not hear it.
                while True:
                    await ada.send_str("anybody?")
                    with contextlib.suppress(TimeoutError):
                        assert await bob.receive_str(timeout=0.5) == "anybody?"
                        assert await cem.receive_str(timeout=0.5) == "anybody?"
                        break
                await bob.send_str("hello")
                assert await ada.receive_str() == "hello"
                assert await cem.receive_str() == "hello"

    with serving("broadcast.py") as address, asyncio.Runner() as runner:
        runner.run(talk(*address))


def test_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(BODY)
    done = subprocess.run([sys.executable, str(EXAMPLES / "pipeline.py"), str(path)], capture_output=True, timeout=60)
    packed = subprocess.run(["gzip", "-nc", str(path)], capture_output=True, check=True).stdout
    assert zlib.decompress(packed, wbits=31) == BODY
    assert done.stdout.decode() == hashlib.sha256(packed).hexdigest() + "\n"
    assert done.returncode == 0
    assert done.stderr.endswith(b"\r100%\n")
    assert done.stderr.count(b"\r") == len(BODY) / (256 * 1024)


def query(name: str, kind: int = 1) -> bytes:
    """A DNS question."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 4711, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def test_names() -> None:
    with serving("names.py") as address, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.connect(address)
        for nonsense in (b"", b"x", bytes(12), query("two.example")[:-3], b"\xff" * 40):
            client.send(nonsense)
        client.send(query("Two.Example"))
        answer = client.recv(512)
        assert answer[:12] == struct.pack("!6H", 4711, 0x8500, 1, 1, 0, 0)
        assert answer[-4:] == socket.inet_aton("192.0.2.2")
        client.send(query("nobody.example"))
        assert client.recv(512)[:12] == struct.pack("!6H", 4711, 0x8503, 1, 0, 0, 0)
        client.send(query("two.example", kind=28))
        assert client.recv(512)[:12] == struct.pack("!6H", 4711, 0x8500, 1, 0, 0, 0)


def test_files(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_text("not for you")
    (tmp_path / "root" / "bulk.bin").write_bytes(BODY)
    (tmp_path / "root" / "empty.txt").touch()
    (tmp_path / "root" / "way out").symlink_to(tmp_path / "secret")
    with serving("files.py", str(tmp_path / "root")) as address:
        connection = http.client.HTTPConnection(*address, timeout=20)
        for method, path, expected in (
            ("GET", "/bulk.bin", (200, BODY)),
            ("HEAD", "/bulk.bin", (200, b"")),
            ("GET", "/empty.txt", (200, b"")),
            ("GET", "/bulk.bin?again", (200, BODY)),
            ("GET", "/../secret", (404, b"")),
            ("GET", "/way%20out", (404, b"")),
            ("GET", "/", (404, b"")),
            ("DELETE", "/bulk.bin", (405, b"")),
            ("GET", "/bulk.bin", (200, BODY)),
        ):
            connection.request(method, path)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == expected, path
        connection.close()
        with socket.create_connection(address, timeout=20) as last, last.makefile("rb") as answered:
            last.sendall(b"HEAD /empty.txt HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert answered.read().startswith(b"HTTP/1.1 200 ")  # to the end of the connection
