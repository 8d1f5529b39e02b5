"""One measurement, in a process of its own: importing some loops changes asyncio, and a busy heap tells on the next.

`python -m ferroloop._commands.sample LOOP WORKLOAD SECONDS` prints operations per second.
"""

import asyncio
import importlib
import subprocess
import sys
import time
from contextlib import closing

from .workloads import WORKLOADS

_FIRST_COUNT = 800
_PATIENCE = 30.0


def take(loop: str, workload: str, seconds: float) -> float:
    """Operations per second. Raises RuntimeError with the last line of what the child process had to say."""
    command = [sys.executable, "-m", __name__, loop, workload, str(seconds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE + 10 * seconds)
    except subprocess.TimeoutExpired as exc:
        raise RuntimeError(f"no result in {exc.timeout:.0f} s") from None
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
    return float(done.stdout)


def _main(name: str, workload: str, seconds: float) -> None:
    loop: asyncio.AbstractEventLoop = importlib.import_module(name).new_event_loop()
    with closing(loop):
        print(_rate(loop, workload, seconds))


def _rate(loop: asyncio.AbstractEventLoop, workload: str, seconds: float) -> float:
    """Raise the number of operations until they take about as long as wanted; the shorter runs were the warm-up."""
    count = _FIRST_COUNT
    while True:
        start = time.perf_counter()
        WORKLOADS[workload](loop, count)
        elapsed = time.perf_counter() - start
        if elapsed >= seconds / 2:
            return count / elapsed
        # A short run says little, so trust it only so far.
        count *= max(2, min(20, int(seconds / elapsed)))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
