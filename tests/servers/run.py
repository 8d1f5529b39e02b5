"""Run clients and servers that people use, on ferroloop, against real PostgreSQL, Redis, nginx and OpenSSL.

Usage: python tests/servers/run.py [--loop ferroloop] [program ...]

What is missing is installed from Debian (as root, or by sudo). The servers listen on free ports of the loopback, keep
their data in `.build/servers-data`, and are ended by their process ids on every path. Each program in `programs/` runs
in a process of its own, checks its results, and asks from inside which loop it runs on.

The libraries are the dependency group `servers` of pyproject.toml; `make servers` installs them. distributed does not
install on Python 3.15 yet, because of PyYAML: programs whose library is missing are named at the end.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import daemons
import keys

HERE = Path(__file__).parent
DATA = HERE.parent.parent / ".build" / "servers-data"
# Seconds for one program; the slowest takes some ten on an idle machine.
PATIENCE = 240
# Each program, and the module without which it cannot run.
PROGRAMS = {
    "openssl_peers": "ssl",
    "postgres": "asyncpg",
    "redis_client": "redis",
    "http_client": "aiohttp",
    "https_server": "aiohttp",
    "websocket_echo": "websockets",
    "grpc_calls": "grpc",
    "dask_cluster": "distributed",
}
# Commands, and the Debian packages that bring them.
PACKAGES = {"postgres": "postgresql", "redis-server": "redis-server", "nginx": "nginx", "openssl": "openssl"}


def main() -> None:
    """Exit with 1 if a program failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loop", choices=["asyncio", "ferroloop"], default="ferroloop")
    parser.add_argument("programs", nargs="*", metavar="program", help=f"one of {', '.join(PROGRAMS)} (default: all)")
    options = parser.parse_args()
    chosen = options.programs or list(PROGRAMS)
    if unknown := set(chosen) - set(PROGRAMS):
        parser.error(f"no such program: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are ended then, too
    install_missing()
    left_out = {name: PROGRAMS[name] for name in chosen if importlib.util.find_spec(PROGRAMS[name]) is None}
    failed = run_all(options.loop, [name for name in chosen if name not in left_out])
    for name, module in left_out.items():
        print(f"{name}: left out, {module} is not installed on Python {sys.version_info[0]}.{sys.version_info[1]}")
    print(f"{len(chosen) - len(left_out) - len(failed)} programs passed, {len(failed)} failed {' '.join(failed)}")
    sys.exit(bool(failed))


def install_missing() -> None:
    """Have apt bring the servers that are not there, without starting them. Raises CalledProcessError."""
    packages = sorted(PACKAGES[name] for name in PACKAGES if daemons.find(name) is None)
    if not packages:
        return
    apt = shutil.which("apt-get")
    if apt is None:
        sys.exit(f"please install: {' '.join(packages)}")
    print(f"installing {' '.join(packages)}", flush=True)
    # RUNLEVEL keeps the packages' own services from starting.
    settings = ["RUNLEVEL=1", "DEBIAN_FRONTEND=noninteractive"]
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        subprocess.run([*sudo, "env", *settings, apt, "--quiet=2", *arguments], check=True)


def run_all(loop: str, names: list[str]) -> list[str]:
    """Run the programs beside the servers; return those that failed."""
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(parents=True)
    keys.make(DATA / "keys")
    with contextlib.ExitStack() as stack:
        places = {
            "data": str(DATA),
            "keys": str(DATA / "keys"),
            "openssl": daemons.find("openssl"),
            "postgres": stack.enter_context(daemons.postgres(DATA)),
            "redis": stack.enter_context(daemons.redis(DATA)),
            "nginx": stack.enter_context(daemons.nginx(DATA)),
        }
        (DATA / "places.json").write_text(json.dumps(places))
        return [name for name in names if not run(name, loop)]


def run(name: str, loop: str) -> bool:
    """Run one program; say how it went."""
    command = [sys.executable, str(HERE / "programs" / f"{name}.py"), loop, str(DATA / "places.json")]
    started = time.monotonic()
    # A session of its own, so that what it leaves behind can be ended with it.
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGABRT)  # faulthandler then shows where it was
        output = f"{process.communicate()[0]}not done after {PATIENCE} s\n"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    passed = process.returncode == 0
    print(f"{name}: {'ok' if passed else 'FAILED'}, {time.monotonic() - started:.1f} s", flush=True)
    if not passed:
        print(output, flush=True)
    return passed


if __name__ == "__main__":
    main()
