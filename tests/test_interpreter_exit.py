"""S2.26, S36.9, S55.2: the end of the interpreter with loops in every state."""

from collections.abc import Callable

import pytest
from support.scripts import Script

RunScript = Callable[..., Script]

PRELUDE = """
import asyncio, gc, signal, socket, sys, threading, time, warnings
signal.alarm(25)
loop = new_event_loop()
def turn(loop=loop):
    loop.stop()
    loop.run_forever()
"""
ENDINGS = {
    "unclosed loop": "turn()",
    "unclosed loop with a queue": "loop.call_soon(print, loop); loop.call_later(9, print, loop)",
    "loop in a cycle": "loop.me = loop; loop.call_soon(lambda: loop)",
    "closed loop": "turn(); loop.close()",
    "signal handler": "loop.add_signal_handler(signal.SIGUSR1, print); turn()",
    "reader": """
left, right = socket.socketpair()
loop.add_reader(left, print, right)
turn()
""",
    "open transport": """
left, right = socket.socketpair()
left.setblocking(False)
transport, protocol = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=left))
transport.write(bytes(9_000_000))
turn()
""",
    "open server": """
server = loop.run_until_complete(asyncio.start_server(print, "127.0.0.1", 0, loop=loop)
    if sys.version_info < (3, 10) else loop.create_server(asyncio.Protocol, "127.0.0.1", 0))
client = socket.create_connection(server.sockets[0].getsockname())
turn()
""",
    "pending task": """
async def main():
    await asyncio.sleep(9)
task = loop.create_task(main())
turn()
""",
    "suspended asynchronous generator": """
async def generate():
    try:
        yield 1
    finally:
        await asyncio.sleep(0)
agen = generate()
loop.run_until_complete(agen.__anext__())
""",
    "running loop in a daemon thread": """
thread = threading.Thread(target=loop.run_forever, daemon=True)
thread.start()
while not loop.is_running():
    time.sleep(0.001)
""",
    "busy loop in a daemon thread": """
def spin():
    loop.call_soon(spin)
loop.call_soon(spin)
thread = threading.Thread(target=loop.run_forever, daemon=True)
thread.start()
while not loop.is_running():
    time.sleep(0.001)
""",
    "daemon thread that wakes the loop": """
def wake():
    try:
        while True:
            loop.call_soon_threadsafe(len, ())
    except RuntimeError:
        pass
thread = threading.Thread(target=wake, daemon=True)
thread.start()
turn()
""",
    "executor in use": """
loop.run_in_executor(None, time.sleep, 0.05)
turn()
""",
    "lookup in flight": """
task = loop.create_task(loop.getaddrinfo("localhost", 80))
turn()
turn()
""",
    "finaliser that uses the loop": """
class Late:
    def __init__(self):
        self.loop = loop
    def __del__(self):
        self.loop.call_soon_threadsafe
        if not self.loop.is_closed():
            self.loop.call_soon(print)
            self.loop.stop()
        repr(self.loop)
sys.late = Late()
turn()
""",
    "atexit that runs the loop": """
import atexit
atexit.register(loop.close)
atexit.register(lambda: loop.run_until_complete(asyncio.sleep(0.001)))
""",
    "exit inside a callback": """
loop.call_soon(sys.exit, 0)
loop.run_forever()
""",
    "exit inside a task": """
async def main():
    sys.exit(0)
loop.run_until_complete(main())
""",
}

# What the loop of a daemon thread calls, and what does not return. `never` is the callback.
NEVER = """
began = threading.Event()
def never(*_args, **_kwargs):
    began.set()
    while True:
        time.sleep(0.0005)
def transport_of(protocol, sock, **options):
    sock.setblocking(False)
    return loop.create_task(loop.create_connection(protocol, sock=sock, **options))
left, right = socket.socketpair()
class Protocol(asyncio.Protocol):
    pass
"""
RUN = """
threading.Thread(target=loop.run_forever, daemon=True).start()
began.wait()
"""
TLS = """
import ssl, trustme
authority = trustme.CA()
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
authority.issue_cert("localhost").configure_cert(server)
authority.configure_trust(client)
right.setblocking(False)
served = loop.create_task(loop.connect_accepted_socket(Protocol, right, ssl=server))
task = transport_of(Client, left, ssl=client, server_hostname="localhost")
"""
SPEAKS = """
class Client(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"x")
"""
NEVER_ENDS = {
    "callback": "loop.call_soon(never)",
    "exception handler": """
loop.set_exception_handler(never)
loop.call_soon(lambda: 1 / 0)
""",
    "task factory": """
loop.set_task_factory(never)
loop.call_soon(lambda: loop.create_task(asyncio.sleep(0)))
""",
    "class of tasks": """
asyncio.tasks.Task = never
loop.call_soon(lambda: loop.create_task(asyncio.sleep(0)))
""",
    "clock": """
class Loop(type(loop)):
    def time(self):
        return never() if asyncio._get_running_loop() else super().time()
loop = Loop()
loop.call_soon(lambda: loop.call_later(1, print))
""",
    "data_received": """
Protocol.data_received = never
task = transport_of(Protocol, left)
right.send(b"x")
""",
    "pause_writing within write": """
Protocol.pause_writing = never
Protocol.connection_made = lambda _, transport: transport.write(bytes(9_000_000))
task = transport_of(Protocol, left)
""",
    "protocol factory of a server": """
server = loop.run_until_complete(loop.create_server(never, "127.0.0.1", 0))
client = socket.create_connection(server.sockets[0].getsockname())
""",
    "error_received within sendto": """
class Datagrams(asyncio.DatagramProtocol):
    error_received = never
    def connection_made(self, transport):
        loop.call_soon(transport.sendto, bytes(70_000), ("127.0.0.1", 9))
task = loop.create_task(loop.create_datagram_endpoint(Datagrams, ("127.0.0.1", 0)))
""",
    "data_received under TLS": SPEAKS + "Protocol.data_received = never" + TLS,
    "get_buffer under TLS": SPEAKS
    + """
class Protocol(asyncio.BufferedProtocol):
    get_buffer = never
"""
    + TLS,
    "buffer_updated under TLS": SPEAKS
    + """
class Protocol(asyncio.BufferedProtocol):
    buffer_updated = never
    def get_buffer(self, hint):
        return bytearray(9)
"""
    + TLS,
    "eof_received under TLS": """
class Client(asyncio.Protocol):
    def connection_made(self, transport):
        transport.close()
Protocol.eof_received = never
"""
    + TLS,
    "pause_writing under TLS": """
class Client(asyncio.Protocol):
    pause_writing = never
    def connection_made(self, transport):
        transport.write(bytes(9_000_000))
        transport.write(bytes(9_000_000))
"""
    + TLS,
    "exception handler after data_received under TLS": SPEAKS
    + "Protocol.data_received = lambda _, data: 1 / 0\nloop.set_exception_handler(never)"
    + TLS,
}


@pytest.mark.parametrize("name", NEVER_ENDS)
def test_call_that_never_ends_in_a_daemon_thread(run_script: RunScript, name: str) -> None:
    """S2.26: exit code 0 in time, whatever the loop had called."""
    script = run_script(PRELUDE + NEVER + NEVER_ENDS[name] + RUN, "-W", "ignore")
    assert "Fatal" not in script.err
    assert "Traceback" not in script.err


@pytest.mark.parametrize("name", ENDINGS)
def test_end_of_the_interpreter(run_script: RunScript, name: str) -> None:
    """S2.26, S36.9, S55.2: exit code 0 in time, and nothing on stderr but warnings."""
    script = run_script(PRELUDE + ENDINGS[name], "-W", "ignore::ResourceWarning")
    assert "Fatal" not in script.err
    assert "panicked" not in script.err
    if name not in ("pending task", "lookup in flight", "suspended asynchronous generator"):
        assert "Traceback" not in script.err


def test_warning_at_the_end(run_script: RunScript) -> None:
    """S2.25: an unclosed loop is told of, as long as it can be."""
    script = run_script(PRELUDE + "turn()\ndel loop\ngc.collect()", "-W", "always")
    assert "ResourceWarning: unclosed event loop <" in script.err


def test_uncaught_exception(run_script: RunScript) -> None:
    """S52.4: the traceback of a failed run is the user's, the exit code Python's."""
    script = run_script(
        PRELUDE
        + """
async def main():
    await asyncio.sleep(0)
    raise LookupError("mine")
try:
    loop.run_until_complete(main())
finally:
    loop.close()
""",
        check=False,
    )
    assert script.code == 1
    assert script.err.rstrip().endswith("LookupError: mine")
    assert "in main" in script.err
