"""Servers for the clients that are measured: each is started when it is first asked for, on the core of the load."""

import atexit
import functools
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import loadgen
from process import HERE, cores, server

# The tests against real servers start them as well.
sys.path.append(str(HERE.parent / "tests" / "servers"))
import daemons

_running = ExitStack()
atexit.register(_running.close)


@dataclass(frozen=True)
class Service:
    """What listens on a port of the loopback as long as `start()` lasts. The client needs `module`."""

    start: Callable[[], AbstractContextManager[int]]
    module: str
    command: str | None = None

    def missing(self) -> str | None:
        """What is not installed."""
        if self.command and daemons.find(self.command) is None:
            return f"no {self.command}"
        return None if importlib.util.find_spec(self.module) else f"no {self.module}"

    @functools.cache  # noqa: B019  # services last as long as the process
    def port(self) -> int:
        """The port; the service ends with this process."""
        return _running.enter_context(self.start())


@contextmanager
def _answer() -> Iterator[int]:
    with server([loadgen.path(), "answer"], cores()[1]) as (_, port):
        yield port


@contextmanager
def _redis() -> Iterator[int]:
    with _data() as data, _on_the_load_core(daemons.redis(data)) as settings:
        yield settings["port"]


@contextmanager
def _postgres() -> Iterator[int]:
    with _data() as data, _on_the_load_core(daemons.postgres(data)) as settings:
        yield settings["port"]


@contextmanager
def _data() -> Iterator[Path]:
    # Imported here: only these need certificates.
    import keys

    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        # PostgreSQL runs as another user.
        data.chmod(0o755)
        keys.make(data / "keys")
        yield data


@contextmanager
def _on_the_load_core(starting: AbstractContextManager[Any]) -> Iterator[Any]:
    """Processes inherit where they may run."""
    allowed, (_, load_core) = os.sched_getaffinity(0), cores()
    with ExitStack() as started:
        os.sched_setaffinity(0, {load_core})
        try:
            result = started.enter_context(starting)
        finally:
            os.sched_setaffinity(0, allowed)
        yield result


HTTP = Service(_answer, "aiohttp")
REDIS = Service(_redis, "redis", "redis-server")
POSTGRES = Service(_postgres, "asyncpg", "initdb")
