"""S0 and what follows from it for the whole: the loop as its Python's own, and what else may run on top of it."""

import asyncio
import socket
import sys
import tomllib
from asyncio import sslproto
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.certificates import HOST, client_context, server_context
from support.gates import ferroloop_only, since
from support.loops import Loop, Run
from support.net import tcp_pair, unix_pair
from support.protocols import Recorder
from support.scripts import Script
from support.tls import tls_connection
from support.turns import turn

ROOT = Path(__file__).parent.parent


@ferroloop_only("a fact of the package", "S0.2")
def test_oldest_python(loop: Loop) -> None:
    """S0.2: what is promised to installers is what the sources are written for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == ">=3.11"
    assert project["tool"]["ruff"]["target-version"] == "py311"


@ferroloop_only("a fact of the package", "S0.13")
def test_engine_knows_no_python(loop: Loop) -> None:
    """S0.13, S47.1."""
    manifest = tomllib.loads((ROOT / "engine" / "Cargo.toml").read_text())
    dependencies = {name for table in manifest if table.endswith("dependencies") for name in manifest[table]}
    assert not {name for name in dependencies if "py" in name.lower()}
    for source in (ROOT / "engine" / "src").rglob("*.rs"):
        assert "pyo3" not in source.read_text().lower(), source


@since(3, 12)
def test_coroutines_of_generators_are_history(loop: Loop) -> None:
    """S0.4: a plain generator is no coroutine any more."""

    def generator() -> Any:
        yield

    with pytest.raises(TypeError):
        loop.create_task(generator())
    with pytest.raises(TypeError):
        loop.run_until_complete(generator())


def test_close_is_todays(loop: Any) -> None:
    """S2.28: the executor is refused afterwards, and the hooks of asynchronous generators are those of before."""
    hooks = sys.get_asyncgen_hooks()
    turn(loop)
    assert sys.get_asyncgen_hooks() == hooks
    assert loop._executor_shutdown_called is False
    loop.close()
    assert loop._executor_shutdown_called is True


@ferroloop_only("names of ferroloop", "S1.5")
def test_watchers_are_exported(loop: Loop) -> None:
    """S1.5: on every Python, whatever asyncio's module still has."""
    package = sys.modules["ferroloop"]
    for kind in ("Abstract", "Fast", "MultiLoop", "Pidfd", "Safe", "Threaded"):
        assert f"{kind}ChildWatcher" in package.__all__


def test_one_batch_whatever_is_read_at_once(loop: Loop) -> None:
    """S4.16: what callbacks of one iteration schedule comes after all that was ready in it."""
    pairs = [unix_pair(), unix_pair()]
    order: list[str] = []
    for index, (left, _) in enumerate(pairs):

        def ready(name: str = f"fd {index}") -> None:
            order.append(name)
            loop.call_soon(order.append, f"after {name}")

        loop.add_reader(left, ready)
    for _, right in pairs:
        right.send(b"x")
    loop.call_soon(order.append, "queued before")
    turn(loop)
    assert order[0] == "queued before"
    assert sorted(order[1:]) == ["fd 0", "fd 1"]
    order.clear()
    turn(loop)
    assert [name for name in order if name.startswith("after")] == order[:2]
    for pair in pairs:
        loop.remove_reader(pair[0])
        for sock in pair:
            sock.close()


@ferroloop_only("asyncio's is a Python function", "S8.2")
def test_get_debug_is_cheap(loop: Loop) -> None:
    """S8.2: no Python frame for what every Future asks."""
    frames: list[str] = []
    sys.setprofile(lambda frame, event, _: frames.append(event))
    try:
        loop.get_debug()
    finally:
        sys.setprofile(None)
    assert "call" not in frames


def test_accepted_tls_has_no_server_name(run: Run) -> None:
    """S21.2: the server's side, with the context given."""

    async def main() -> None:
        context = server_context()
        async with tls_connection(server_side=True, context=context) as (transport, _, _):
            assert transport.get_extra_info("sslcontext") is context
            assert transport.get_extra_info("ssl_object").server_side is True
            assert transport.get_extra_info("ssl_object").server_hostname is None

    run(main())


def test_the_standard_librarys_own_tls_on_top(loop: Loop, run: Run) -> None:
    """S22.17: asyncio's SSLProtocol finds all it uses in a socket transport."""

    async def main() -> None:
        left, right = tcp_pair()
        ends, waiters = [Recorder(), Recorder()], [loop.create_future(), loop.create_future()]
        client = sslproto.SSLProtocol(loop, ends[0], client_context(), waiters[0], server_hostname=HOST)
        server = sslproto.SSLProtocol(loop, ends[1], server_context(), waiters[1], server_side=True)
        for protocol, sock in ((client, left), (server, right)):
            await loop.create_connection(lambda protocol=protocol: protocol, sock=sock)
        await asyncio.gather(*waiters)
        size = 1 << 20
        client._app_transport.write(b"x" * size)
        while len(ends[1].data) < size:
            await asyncio.sleep(0.001)
        client._app_transport.close()
        while not (ends[0].lost and ends[1].lost):
            await asyncio.sleep(0.001)

    run(main())


class Interrupted(socket.socket):
    """A signal comes in the middle of its connect(2)."""

    def connect(self, address: Any) -> None:
        try:
            super().connect(address)
        except BlockingIOError:
            raise InterruptedError from None


def test_interrupted_connect(loop: Loop, run: Run) -> None:
    """S25.9: the connection is on its way all the same."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Interrupted() as sock:
        sock.setblocking(False)
        run(loop.sock_connect(sock, listener.getsockname()))
        assert sock.getpeername() == listener.getsockname()


SUBINTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import asyncio
inner = interpreters.create()
try:
    interpreters.run_string(inner, "try:\\n    import ferroloop\\nexcept ImportError:\\n    pass\\nprint('survived')")
finally:
    interpreters.destroy(inner)
loop = new_event_loop()
print(loop.run_until_complete(asyncio.sleep(0, "here too")))
loop.close()
"""


@ferroloop_only("imports ferroloop", "S58.2")
def test_subinterpreters(run_script: Callable[..., Script]) -> None:
    """S58.2: importing there works or is an ImportError, and the loop out here does not mind."""
    assert run_script(SUBINTERPRETER).out == "survived\nhere too\n"
