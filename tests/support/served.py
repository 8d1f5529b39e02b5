"""Asking a server that is just being started."""

import socket
import time
import urllib.request


def free_port() -> int:
    """A port that was free a moment ago: not every server says which one it took."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def ask(port: int, path: str) -> bytes:
    """The answer of a server on the loopback, from when it has started."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                content: bytes = answer.read()
                return content
        except OSError:
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.05)
