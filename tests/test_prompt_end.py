"""S36.10, S36.11: Ctrl-C and SIGTERM end an idle and a busy loop at once."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from support import loops
from support.scripts import Script, environment

PRELUDE = """
import asyncio, os, signal, sys, time
loop = new_event_loop()
def ready():
    print("ready", flush=True)
def over(what):
    print(what, time.monotonic(), flush=True)
def spin():
    loop.call_soon(spin)
"""
IDLE = "loop.call_later(0.05, ready)\n"
BUSY = "loop.call_soon(ready)\nloop.call_soon(spin)\n"
FOREVER = """
try:
    loop.run_forever()
except KeyboardInterrupt:
    over("interrupted")
except SystemExit:
    over("left")
"""
# Not after BUSY: there the exception may strike between any two instructions, asyncio's own too.
USABLE = (
    FOREVER
    + """
assert loop.run_until_complete(asyncio.sleep(0.001, "usable")) == "usable"
loop.close()
"""
)
PROGRAMS: dict[str, tuple[int, str, str]] = {
    "Ctrl-C, idle": (signal.SIGINT, IDLE + USABLE, "interrupted"),
    "Ctrl-C, busy": (signal.SIGINT, BUSY + FOREVER, "interrupted"),
    "SIGTERM by signal.signal, idle": (
        signal.SIGTERM,
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit())\n" + IDLE + USABLE,
        "left",
    ),
    "SIGTERM by signal.signal, busy": (
        signal.SIGTERM,
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit())\n" + BUSY + FOREVER,
        "left",
    ),
    "SIGTERM by add_signal_handler": (
        signal.SIGTERM,
        "loop.add_signal_handler(signal.SIGTERM, lambda: (over('handled'), loop.stop()))\n" + IDLE + USABLE,
        "handled",
    ),
    "Ctrl-C under Runner": (
        signal.SIGINT,
        """
loop.close()
async def main():
    try:
        asyncio.get_running_loop().call_later(0.02, ready)
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        over("cancelled")
        raise
try:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
except KeyboardInterrupt:
    print("KeyboardInterrupt")
""",
        "cancelled",
    ),
    "Ctrl-C twice under Runner": (
        signal.SIGINT,
        """
loop.close()
async def main():
    asyncio.get_running_loop().call_later(0.02, ready)
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(3600)
try:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
except KeyboardInterrupt:
    over("interrupted")
""",
        "interrupted",
    ),
}


def test_full_channel(run_script: Callable[..., Script]) -> None:
    """S36.13: more signals than fit while the loop does not look; the next ones arrive."""
    run_script(
        """
        import asyncio, os, signal
        loop = new_event_loop()
        seen = []
        loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
        for _ in range(3000):
            signal.raise_signal(signal.SIGUSR1)
        for _ in range(2):
            seen.clear()
            signal.raise_signal(signal.SIGUSR1)
            loop.run_until_complete(asyncio.sleep(0.02))
            assert seen
        loop.close()
        """
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_prompt_end(loop_kind: str, name: str) -> None:
    """S36.10, S36.11, S50.1: without waiting for anything else; 2 s are for a machine that is busy."""
    sig, program, word = PROGRAMS[name]
    command = [sys.executable, "-c", loops.imports(loop_kind) + PRELUDE + program]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.02)
        sent = time.monotonic()
        child.send_signal(sig)
        out, err = child.communicate(timeout=20)
    assert child.returncode == 0, err
    said, _, when = out.splitlines()[0].partition(" ")
    assert said == word
    assert float(when) - sent < 2
