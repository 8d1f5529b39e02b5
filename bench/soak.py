"""A minute of wrk against uvicorn: no error, and no memory that grows. `bench/install-wrk` installs wrk on Debian."""

import argparse
import re
import shutil
import subprocess
import sys
import time

from memory import resident
from process import cores, server
from served import server_command

_WARMUP = 10
_CONNECTIONS = 64
_LOOK_EVERY = 5
# What the allocator's own housekeeping may add in a minute; a byte leaked per request would be megabytes.
_TOLERATED = 512 * 1024


def main() -> int:
    """Warm up, load, watch. Exit code 1 if there was an error or the memory grew."""
    options = _options()
    if shutil.which("wrk") is None:
        print("wrk is not installed: run bench/install-wrk", file=sys.stderr)
        return 2
    server_core, load_core = cores()
    with server(server_command(options.loop, "hello"), server_core) as (pid, port):
        _wrk(port, load_core, _WARMUP).communicate()
        load = _wrk(port, load_core, options.seconds)
        seen = _watch(pid, load)
        report, _ = load.communicate()
    print(report)
    growth = seen[-1] - seen[0]
    print(f"{options.loop}: RSS {seen[0] / 2**20:.2f} MiB after warm-up, {seen[-1] / 2**20:.2f} MiB at the end")
    wrong = _errors(report)
    for line in wrong:
        print(f"error: {line}")
    if growth > _TOLERATED:
        print(f"error: memory grew by {growth / 2**20:.2f} MiB")
    return 1 if wrong or growth > _TOLERATED or load.returncode else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loop", default="ferroloop", help="a peer of the benchmarks (default ferroloop)")
    parser.add_argument("--seconds", type=int, default=60)
    return parser.parse_args()


def _wrk(port: int, core: int, seconds: int) -> subprocess.Popen[str]:
    command = ["taskset", "--cpu-list", str(core), "wrk", "--threads", "1", "--connections", str(_CONNECTIONS)]
    command += ["--duration", f"{seconds}s", "--latency", f"http://127.0.0.1:{port}/"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _watch(pid: int, load: subprocess.Popen[str]) -> list[int]:
    """The server's memory, from time to time while the load runs."""
    seen = []
    while load.poll() is None:
        seen.append(resident(pid))
        print(f"RSS {seen[-1] / 2**20:.2f} MiB", flush=True)
        time.sleep(_LOOK_EVERY)
    return [*seen, resident(pid)]


def _errors(report: str) -> list[str]:
    """The lines in which wrk complains; it stays silent otherwise."""
    return re.findall(r"^\s*((?:Socket errors|Non-2xx).*)$", report, flags=re.MULTILINE)


if __name__ == "__main__":
    sys.exit(main())
