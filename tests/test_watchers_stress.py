"""S37 to S42, S45, S47.3: five hundred children at once, for each watcher."""

import asyncio
import os
import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.children import NAMES, asyncio_cannot, attached, make_watcher, start_shell, watchers_of_both
from support.fds import open_fds

COUNT = 500
# Seconds for all of them, on a machine that is busy with other things.
PATIENCE = 60
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]

pytestmark = pytest.mark.usefixtures("dispositions")


class Herd:
    """Shells that end by themselves, or when the gate is opened, or by a signal sent to them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.expected: dict[int, int] = {}
        self.doomed: list[tuple[int, signal.Signals]] = []
        self._wait, self._gate = os.pipe()

    def start(self) -> int:
        """Start one; return its pid."""
        number, kind = self._random.choice(SIGNALS), self._random.randrange(4)
        code = self._random.randrange(256)
        command = [f"exit {code}", f"read _; exit {code}", f"read _; kill -{number:d} $$", "read _; exit 0"][kind]
        pid = start_shell(command, self._wait)
        self.expected[pid] = code if kind < 2 else -number
        if kind == 3:
            self.doomed.append((pid, number))
        return pid

    def end(self) -> None:
        """Kill the doomed, open the gate to the others."""
        for pid, number in self.doomed:
            os.kill(pid, number)
        os.close(self._wait)
        os.close(self._gate)


@pytest.fixture
def _nothing_left() -> Iterator[None]:
    fds, threads = open_fds(), set(threading.enumerate())
    yield
    assert open_fds() == fds
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
    assert set(threading.enumerate()) <= threads
    with pytest.raises(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)


@watchers_of_both
@pytest.mark.usefixtures("_nothing_left")
@pytest.mark.parametrize("name", NAMES)
def test_five_hundred_at_once(loop_kind: str, run: Any, name: str) -> None:
    """Every code right, no zombie, no descriptor, no thread left, and all that in bounded time (S37.2, S42.8)."""
    asyncio_cannot(loop_kind, name, "MultiLoopChildWatcher", "reports 255 if the signal interrupts its own handler")
    herd = Herd(seed=NAMES.index(name))
    codes: dict[int, int] = {}

    async def main() -> None:
        loop = asyncio.get_running_loop()
        all_ended = loop.create_future()

        def ended(pid: int, code: int) -> None:
            assert pid not in codes
            codes[pid] = code
            if len(codes) == COUNT:
                all_ended.set_result(None)

        with attached(loop, make_watcher(loop_kind, name)) as watcher:
            for _ in range(COUNT):
                with watcher:
                    watcher.add_child_handler(herd.start(), ended)
                if len(herd.expected) % 50 == 0:
                    await asyncio.sleep(0)
            herd.end()
            await all_ended

    run(main(), PATIENCE)
    assert codes == herd.expected
