"""S13: names, looked up in native threads with the answers of `socket.getaddrinfo`."""

import _socket
import asyncio
import os
import socket
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.gates import ferroloop_only, linux_only
from support.loops import Loop, Run
from support.net import eventually


class Odd(str):
    """A text of the program's own type."""


# None of them asks a name server: what is not in /etc/hosts has to be an address.
NUMERIC = socket.AI_NUMERICHOST
QUESTIONS: list[dict[str, Any]] = [
    {},
    {"type": socket.SOCK_STREAM},
    {"type": socket.SOCK_DGRAM, "family": socket.AF_INET},
    {"proto": socket.IPPROTO_UDP},
    {"type": socket.SOCK_RAW, "proto": 99},
    {"flags": socket.AI_CANONNAME},
    {"host": "LOCALHOST"},
    {"host": "localhost."},
    {"host": b"localhost"},
    {"host": Odd("localhost")},
    {"host": bytearray(b"localhost")},
    {"host": 5},
    {"host": "localhost\0x"},
    {"host": b"localhost\0x"},
    {"host": None},
    {"host": None, "flags": socket.AI_PASSIVE},
    {"host": None, "port": None},
    {"host": ""},
    {"host": b""},
    {"host": "."},
    {"host": "a..b"},
    {"host": ".localhost"},
    {"host": "x" * 64},
    {"host": "x" * 64 + "."},
    {"host": "x" * 63, "flags": NUMERIC},
    {"host": "no address", "flags": NUMERIC},
    {"host": "b\u00fccher", "flags": NUMERIC},
    {"host": "\u0661\u0662\u0667.0.0.1"},
    {"host": "\udc80"},
    {"host": b"\xff", "flags": NUMERIC},
    {"host": "127.1", "flags": NUMERIC},
    {"host": "::1%lo"},
    {"host": "fe80::1%1", "flags": NUMERIC},
    {"host": "fe80::1%no-such-interface", "flags": NUMERIC},
    {"host": "::1.2.3.4", "flags": socket.AI_CANONNAME},
    {"host": "::ffff:1.2.3.4", "flags": socket.AI_CANONNAME},
    {"host": "::2", "flags": socket.AI_CANONNAME},
    {"host": "1:0:0:2::", "flags": socket.AI_CANONNAME},
    {"port": None},
    {"port": "http"},
    {"port": b"http"},
    {"port": "no-such-service"},
    {"port": "80"},
    {"port": " 80 "},
    {"port": ""},
    {"port": "80\0"},
    {"port": b"80\0"},
    {"port": "\udc80"},
    {"port": "\u0663"},
    {"port": -1},
    {"port": 65536},
    {"port": 1 << 31},
    {"port": 1 << 70},
    {"port": True},
    {"port": 80.0},
    {"port": socket.SOCK_STREAM},
    {"port": "http", "flags": socket.AI_NUMERICSERV},
    {"port": None, "flags": socket.AI_NUMERICSERV},
    {"family": socket.AF_INET6},
    {"family": socket.AF_UNIX},
    {"family": 12345},
    {"family": -1},
    {"family": 1 << 40},
    {"family": "x"},
    {"family": None},
    {"type": 99},
    {"type": 2.0},
    {"proto": 1 << 40},
    {"flags": 1 << 30},
    {"flags": -1},
    {"flags": "x"},
]


def outcome(call: Callable[[], Any]) -> Any:
    """What came of a call: an answer, or an exception's type and words."""
    try:
        return repr(call())
    except Exception as exc:
        return type(exc), exc.args, str(exc)


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_answers(loop: Loop, run: Run, question: dict[str, Any]) -> None:
    """S13.1: what socket.getaddrinfo answers or complains about, enum members and all."""
    question = {"host": "localhost", "port": 80} | question
    expected = outcome(lambda: socket.getaddrinfo(**question))
    assert outcome(lambda: run(loop.getaddrinfo(**question))) == expected


@pytest.mark.parametrize("question", QUESTIONS[:12], ids=str)
def test_answers_in_debug_mode(loop: Loop, run: Run, question: dict[str, Any]) -> None:
    """S13.1, S13.2: the same."""
    loop.set_debug(True)
    test_answers(loop, run, question)


def test_many_at_once(loop: Loop, run: Run) -> None:
    """S13.1: each gets the answer to its own question."""

    async def main() -> list[Any]:
        return await asyncio.gather(*(loop.getaddrinfo("localhost", port, type=1) for port in range(1, 1001)))

    answers = run(main(), 60)
    assert [{info[4][1] for info in infos} for infos in answers] == [{port} for port in range(1, 1001)]


def test_a_function_under_the_function(loop: Loop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """S13.1: socket.getaddrinfo calls what is in its module, and so it goes on."""
    fake = [(2, 1, 6, "", ("192.0.2.1", 80))]
    monkeypatch.setattr(_socket, "getaddrinfo", lambda *args: fake)
    for host in ("localhost", "10.0.0.1"):
        assert run(loop.getaddrinfo(host, 80)) == fake


def test_run_in_executor_of_a_subclass(loop_class: Any) -> None:
    """S1.9, S13.1: it runs the lookup."""
    asked: list[Any] = []

    class Own(loop_class):
        def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
            asked.append((func, args))
            return super().run_in_executor(executor, func, *args)

    loop = Own()
    try:
        assert loop.run_until_complete(loop.getaddrinfo("localhost", 80, family=2, type=1))
    finally:
        loop.close()
    assert asked == [(socket.getaddrinfo, ("localhost", 80, 2, 1, 0, 0))]


def test_create_future_of_a_subclass(loop_class: Any) -> None:
    """S1.9: it makes what the lookup's caller waits for."""
    made: list[Any] = []

    class Own(loop_class):
        def create_future(self) -> Any:
            made.append(super().create_future())
            return made[-1]

    loop = Own()
    try:
        infos = loop.run_until_complete(loop.getaddrinfo("localhost", 80))
        assert infos in [future.result() for future in made]
    finally:
        loop.close()


def test_an_audit_hook_may_refuse(run_script: Any) -> None:
    """S13.1: its exception is the lookup's."""
    program = """
        import sys
        def hook(event, args):
            if event == "socket.getaddrinfo":
                raise LookupError(args[0])
        sys.addaudithook(hook)
        loop = new_event_loop()
        try:
            loop.run_until_complete(loop.getaddrinfo("localhost", 80))
        except LookupError as exc:
            print("refused", exc)
        loop.close()
    """
    assert run_script(program).out.split() == ["refused", "localhost"]


def test_cancelled_while_many_wait(loop: Loop, run: Run) -> None:
    """S13.1, S12.4: those that are not cancelled are answered."""

    async def main() -> None:
        tasks = [asyncio.ensure_future(loop.getaddrinfo("localhost", port)) for port in range(1, 301)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(infos, list) for infos in done[1::3] + done[2::3])
        assert all(isinstance(infos, list | asyncio.CancelledError) for infos in done[::3])

    run(main(), 60)


def test_the_same_name_at_once(loop: Loop, run: Run) -> None:
    """S13.1: everybody has a list, or an exception, of their own."""

    async def main() -> None:
        lists = await asyncio.gather(*(loop.getaddrinfo("localhost", 80) for _ in range(50)))
        assert all(infos == lists[0] for infos in lists)
        assert len({id(infos) for infos in lists}) == 50
        nobody = (loop.getaddrinfo("no address", 80, flags=NUMERIC) for _ in range(50))
        errors = await asyncio.gather(*nobody, return_exceptions=True)
        assert {type(error) for error in errors} == {socket.gaierror}
        assert {str(error) for error in errors} == {str(errors[0])}
        assert len({id(error) for error in errors}) == 50

    run(main(), 60)


def resolver_threads() -> int:
    """How many native lookup threads this process has."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except OSError:  # it has just ended
            continue
    return names.count("ferroloop-resol")


@linux_only
@ferroloop_only("asyncio looks names up in its default executor", "S13.1")
def test_threads_are_bounded_and_end_with_the_loop(loop: Loop, run: Run) -> None:
    """S13.1: idle, and with it; none is left of earlier loops either."""

    async def main() -> None:
        await eventually(lambda: resolver_threads() == 0)
        await loop.getaddrinfo("localhost", 80)
        assert resolver_threads() == 1
        for _ in range(3):
            await loop.getaddrinfo("localhost", 80)
            await asyncio.gather(*(loop.getaddrinfo("localhost", port) for port in range(500)))
            assert 1 <= resolver_threads() <= min(32, (os.cpu_count() or 1) + 4)

    run(main(), 60)
    loop.close()
    asyncio.run(eventually(lambda: resolver_threads() == 0))


# A name server that does not answer, for the C library of Linux: it reads the aliases of a name without dots from this
# file, and opening a pipe waits until somebody writes into it. Whoever can open it for writing without waiting has met
# the thread that is stuck there; from then on it waits for bytes that never come.
STUCK = """
import asyncio, errno, gc, os, sys, weakref
os.environ["HOSTALIASES"] = sys.argv[1]
loop = new_event_loop()

async def stuck():
    lookup = asyncio.ensure_future(loop.getaddrinfo("nobody", 80))
    while not lookup.done():
        try:
            os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
            return lookup
        except OSError as exc:
            assert exc.errno == errno.ENXIO
        await asyncio.sleep(0.01)
    raise SystemExit("this C library reads no aliases")

"""
ENDS = {
    "closed in the middle of it": """
        loop.run_until_complete(stuck())._log_destroy_pending = False
        loop.close()
    """,
    "cancelled, and nothing is kept for it": """
        async def main():
            lookup = await stuck()
            waiter = weakref.ref(lookup._fut_waiter)
            lookup.cancel()
            await asyncio.wait([lookup])
            assert lookup.cancelled()
            del lookup
            gc.collect()
            assert waiter() is None
        loop.run_until_complete(main())
        loop.close()
    """,
    "out of time, under asyncio.run": """
        async def main():
            global loop
            loop = asyncio.get_running_loop()
            lookup = await stuck()
            try:
                await asyncio.wait_for(lookup, 0.01)
            except TimeoutError:
                pass
        asyncio.Runner(loop_factory=lambda: loop).run(main())
    """,
    "in debug mode": """
        loop.set_debug(True)
        loop.run_until_complete(stuck()).cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    """,
    "never closed, and the others go on": """
        async def main():
            lookup = await stuck()
            assert await loop.getaddrinfo("localhost", 80)
            lookup.cancel()
        loop.run_until_complete(main())
        sys.stderr = None  # nor what is said of the loop
    """,
}


@pytest.fixture
def aliases(tmp_path: Path) -> str:
    """A pipe that nobody writes into."""
    pipe = tmp_path / "aliases"
    os.mkfifo(pipe)
    return str(pipe)


@linux_only
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
@ferroloop_only("asyncio's executor is waited for at exit", "S13.1 as ruled in docs/differences.md")
def test_nobody_waits_for_a_stuck_lookup(run_script: Any, aliases: str, end: str) -> None:
    """S13.1: neither the loop's end nor the process's."""
    program = STUCK + textwrap.dedent(end) + "\nprint('over')\n"
    assert run_script(program, arguments=[aliases]).out == "over\n"


@linux_only
@ferroloop_only("asyncio asks once for each", "S13.1 as ruled in docs/differences.md")
def test_a_name_is_asked_for_once_at_a_time(run_script: Any, aliases: str) -> None:
    """S13.1: the others wait for the same answer, and go on waiting when whoever asked first is cancelled."""
    program = STUCK + textwrap.dedent("""
        def threads():
            return len(os.listdir("/proc/self/task")) - 1

        async def main():
            one = await stuck()
            first, *others = [asyncio.ensure_future(loop.getaddrinfo("nobody", 81)) for _ in range(20)]
            await asyncio.sleep(0)
            print(threads(), loop.stats()["lookups"])
            different = asyncio.ensure_future(loop.getaddrinfo("nobody", 82))
            await asyncio.sleep(0)
            print(threads(), loop.stats()["lookups"])
            first.cancel()
            await asyncio.wait([first])
            print(loop.stats()["lookups"], any(other.done() for other in others))
            for lookup in [one, *others, different]:
                lookup.cancel()
            await asyncio.wait([one, *others, different])
            print(loop.stats()["lookups"])

        loop.run_until_complete(main())
        loop.close()
    """)
    assert run_script(program, arguments=[aliases]).out.splitlines() == ["2 21", "3 22", "21 False", "0"]


@linux_only
@ferroloop_only("asyncio's threads are not there after a fork", "S13.1 as ruled in docs/differences.md")
def test_a_forked_child_looks_names_up(run_script: Any) -> None:
    """S13.1: with threads of its own; and closes the loop it inherited."""
    program = """
        import os
        loop = new_event_loop()
        lookup = loop.getaddrinfo("localhost", 80)
        infos = loop.run_until_complete(lookup)
        child = os.fork()
        if not child:
            same = loop.run_until_complete(loop.getaddrinfo("localhost", 80)) == infos
            loop.close()
            os._exit(0 if same else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert loop.run_until_complete(loop.getaddrinfo("localhost", 80)) == infos
        loop.close()
        print("over")
    """
    assert run_script(program).out == "over\n"


@linux_only
@ferroloop_only("asyncio's threads are not there after a fork", "S13.1 as ruled in docs/differences.md")
def test_a_child_forked_in_the_middle_of_lookups(run_script: Any) -> None:
    """S6.9, S13.1: it may cancel what it inherited and leave; a thread of the parent's may have held any lock."""
    program = """
        import os
        import signal

        async def main():
            for _ in range(20):
                lookups = [loop.getaddrinfo("127.0.0.1", str(port)) for port in range(50)]
                for lookup in lookups:
                    lookup.send(None)
                child = os.fork()
                if not child:
                    signal.alarm(20)
                for lookup in lookups:
                    lookup.close()
                if not child:
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0

        loop = new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        print("over")
    """
    assert run_script(program).out == "over\n"


@linux_only
@ferroloop_only("the last of its threads may still be ending", "S13.1")
def test_no_thread_is_left_after_close(run_script: Any) -> None:
    """S13.1: who forks next had better have one thread."""
    program = """
        import asyncio
        import os

        async def main():
            await asyncio.gather(*[loop.getaddrinfo("localhost", port) for port in range(8)])
            await loop.shutdown_default_executor()

        for _ in range(10):
            loop = new_event_loop()
            loop.run_until_complete(main())
            loop.close()
            print(len(os.listdir("/proc/self/task")))
    """
    assert run_script(program).out.split() == ["1"] * 10
