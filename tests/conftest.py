"""Every behaviour test runs on stock asyncio, the oracle, and on ferroloop.

A test asks for `loop`, `new_loop`, `loop_class` or `run_script` and is thereby run on both; see
support/loops.py for the environment variable that runs the asyncio half alone. A test marked
`ferroloop_only(reason, spec)` has no asyncio half because asyncio is wrong there. When a test is
over its loops are closed, and it fails if a descriptor is left or if the `asyncio` logger said
ERROR without the test having asked for `logged`. Tests marked `tls_engines` run on ferroloop twice,
once for each engine of its TLS.
"""

import asyncio
import gc
import io
import logging
import signal
import socket
import textwrap
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from support import loops
from support.fds import open_fds
from support.files import CONTENT
from support.log import LogList
from support.net import unix_pair
from support.scripts import Script, run_python

# The fixtures of signals and of child processes.
pytest_plugins = ["support.children", "support.signals"]

# A shell that runs the suite in the background has it ignore SIGINT, and whoever starts it may have blocked signals:
# the programs under test would inherit both.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.pthread_sigmask(signal.SIG_SETMASK, set())

for name, examples in (("suite", 60), ("thorough", 3000)):
    settings.register_profile(
        name,
        deadline=None,
        max_examples=examples,
        # The suite's examples are the same every time: what it finds it finds for everybody, and at once.
        derandomize=name == "suite",
        suppress_health_check=[HealthCheck.too_slow],
    )
# `--hypothesis-profile=thorough` looks further, with new examples each time; it takes minutes.
settings.load_profile("suite")


def pytest_sessionstart() -> None:
    """Fail here, before any test, if ferroloop is wanted and cannot be imported."""
    for kind in loops.kinds():
        loops.factory(kind)


def pytest_report_header() -> str:
    """Say which halves run."""
    return f"loops: {', '.join(loops.kinds())}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test its halves."""
    if "loop_kind" not in metafunc.fixturenames:
        return
    kinds = loops.kinds(metafunc.definition.get_closest_marker("tls_engines") is not None)
    mark = metafunc.definition.get_closest_marker("ferroloop_only")
    if mark is not None and mark.kwargs["when"]:
        alone = pytest.param(loops.SUBJECT, marks=pytest.mark.skip(reason="oracle-only run"))
        metafunc.parametrize("loop_kind", kinds[1:] or [alone])
    else:
        metafunc.parametrize("loop_kind", kinds)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A single parameter that is marked has no oracle's half, either."""
    items[:] = [item for item in items if not _is_wrong_half(item)]


def _is_wrong_half(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("ferroloop_only")
    params: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    return mark is not None and mark.kwargs["when"] and params.get("loop_kind") == loops.ORACLE


@pytest.fixture
def logged(_asyncio_log: LogList) -> LogList:
    """What the `asyncio` logger says; asking for it allows ERROR records."""
    return _asyncio_log


@pytest.fixture
def _asyncio_log(request: pytest.FixtureRequest) -> Iterator[LogList]:
    log = LogList()
    log.install()
    yield log
    log.remove()
    if "logged" not in request.fixturenames:
        assert log.texts(logging.ERROR) == []


@pytest.fixture
def _no_fd_left() -> Iterator[None]:
    before = open_fds().items()
    yield
    if open_fds().items() - before:
        gc.collect()
    assert open_fds().items() - before == set()


@pytest.fixture
def new_loop(loop_kind: str, _no_fd_left: None, _asyncio_log: LogList) -> Iterator[loops.NewLoop]:
    """A factory of loops, all of them finished and closed after the test."""
    made: list[asyncio.AbstractEventLoop] = []
    make = loops.factory(loop_kind)

    def new() -> asyncio.AbstractEventLoop:
        made.append(make())
        return made[-1]

    yield new
    for loop in made:
        finish(loop)


@pytest.fixture
def loop_class(loop_kind: str, _no_fd_left: None, _asyncio_log: LogList) -> type:
    """The loop class of this half, to be subclassed; the test closes what it makes."""
    return loops.loop_class(loop_kind)


@pytest.fixture
def loop(new_loop: loops.NewLoop) -> asyncio.AbstractEventLoop:
    """One loop, set nowhere, closed after the test."""
    return new_loop()


@pytest.fixture
def errors(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """The contexts given to the exception handler of `loop`."""
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    return contexts


@pytest.fixture
def run(loop: asyncio.AbstractEventLoop) -> Callable[..., Any]:
    """Run a coroutine on `loop`, for ten seconds at most."""

    def run(coro: Coroutine[Any, Any, Any], seconds: float = 10) -> Any:
        return loop.run_until_complete(asyncio.wait_for(coro, seconds))

    return run


@pytest.fixture(params=["in the loop", "in a thread"])
def spawning(request: pytest.FixtureRequest, loop_kind: str, loop: Any) -> asyncio.AbstractEventLoop:
    """The loop, told where to start processes; asyncio's knows one way only."""
    if request.param == "in a thread" and loop_kind == loops.SUBJECT:
        loop.set_spawn_in_thread(True)
    return loop


@pytest.fixture
def run_script(loop_kind: str) -> Callable[..., Script]:
    """Run code in a fresh interpreter where `new_event_loop` makes loops of this half."""

    def run(code: str, *options: str, **keywords: Any) -> Script:
        return run_python(loops.imports(loop_kind) + textwrap.dedent(code), *options, **keywords)

    return run


def finish(loop: asyncio.AbstractEventLoop) -> None:
    """Close the loop; fail if the test left tasks on it."""
    if loop.is_closed():
        return
    loop.set_task_factory(None)
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
        loop.run_until_complete(asyncio.wait([task], timeout=5))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert not left


@pytest.fixture
def file_path(tmp_path: Path) -> Path:
    """A file to be sent."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def file(file_path: Path) -> Iterator[io.BufferedReader]:
    """The file, opened; its position is anywhere."""
    with open(file_path, "rb") as file:
        file.seek(123)
        yield file


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected non-blocking stream sockets."""
    left, right = unix_pair()
    with left, right:
        yield left, right


@pytest.fixture
def datagrams() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two UDP sockets, each bound, neither connected."""
    with socket.socket(type=socket.SOCK_DGRAM) as left, socket.socket(type=socket.SOCK_DGRAM) as right:
        for sock in left, right:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        yield left, right
