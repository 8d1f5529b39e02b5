"""A4, S36.10: a descriptor that its other owner made blocking holds up the loop, but not for signals."""

import textwrap
from collections.abc import Callable

import pytest
from support.scripts import Script

PRELUDE = """
import asyncio, faulthandler, os, signal, socket, tempfile
loop = new_event_loop()

def fill(write):
    try:
        while True:
            write(bytes(4096))
    except BlockingIOError:
        pass

def interrupt(*args):
    raise KeyboardInterrupt

def expect_interrupt(work):
    # Who does not hear of the signal is ended by the second clock.
    faulthandler.dump_traceback_later(10, exit=True)
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        work()
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        print("interrupted")
"""

PROGRAMS = {
    "pipe that is full": """
        reader, writer = os.pipe()
        file = os.fdopen(os.dup(writer), "wb", 0)
        transport, _ = loop.run_until_complete(loop.connect_write_pipe(asyncio.BaseProtocol, file))
        fill(lambda data: os.write(writer, data))
        os.set_blocking(writer, True)
        expect_interrupt(lambda: transport.write(b"x"))
        """,
    "pipe that another has emptied": """
        reader, writer = os.pipe()
        other = os.dup(reader)
        transport, _ = loop.run_until_complete(loop.connect_read_pipe(asyncio.Protocol, os.fdopen(reader, "rb", 0)))
        os.set_blocking(other, True)
        # Both are ready in one turn, and the first leaves nothing for the second.
        left, right = socket.socketpair()
        loop.add_reader(left, lambda: (left.recv(1), os.read(other, 1)))
        right.send(b"x")
        os.write(writer, b"x")
        expect_interrupt(loop.run_forever)
        """,
    "file to a socket that is full": """
        left, right = socket.socketpair()
        left.setblocking(False)
        fill(left.send)
        left.setblocking(True)
        file = tempfile.TemporaryFile()
        file.write(bytes(100_000))
        file.seek(0)
        expect_interrupt(lambda: loop.run_until_complete(loop.sock_sendfile(left, file)))
        """,
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_signal_is_heard(run_script: Callable[..., Script], program: str) -> None:
    """The system call that waits is interrupted, and is not begun again before the signal's handler has run."""
    script = run_script(PRELUDE + textwrap.dedent(PROGRAMS[program]), "-W", "ignore")
    assert script.out == "interrupted\n"
