"""S35, S36: signal handlers, Ctrl-C and SIGTERM, the wakeup fd."""

import asyncio
import contextvars
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.gates import ferroloop_only
from support.loops import Loop, NewLoop
from support.turns import until

USR1, USR2 = signal.SIGUSR1, signal.SIGUSR2


def ignore(*args: object) -> None:
    """A callback."""


async def coroutine() -> None:
    """A coroutine function."""


@pytest.fixture(autouse=True)
def dispositions() -> Iterator[None]:
    """Put handlers and wakeup fd back; fail if a test ends with a stray wakeup fd."""
    watched = (USR1, USR2, signal.SIGALRM, signal.SIGTERM, signal.SIGINT)
    old = {number: signal.getsignal(number) for number in watched}
    yield
    for number, handler in old.items():
        signal.signal(number, handler)
    assert signal.set_wakeup_fd(-1) == -1


def kill(number: int) -> None:
    """Send a signal to this process."""
    os.kill(os.getpid(), number)


def test_handler_runs_in_the_loop(loop: Loop) -> None:
    """S35, S36.1: with arguments, as a normal handle in the loop thread."""
    seen: list[Any] = []

    def callback(*args: object) -> None:
        seen.append((args, asyncio._get_running_loop()))

    assert loop.add_signal_handler(USR1, callback, 1, "b") is None
    loop.call_later(0.01, kill, USR1)
    until(loop, lambda: bool(seen))
    assert seen == [((1, "b"), loop)]
    assert loop.remove_signal_handler(USR1) is True


def test_never_inside_the_os_handler(loop: Loop) -> None:
    """S36.1: not even when the signal comes while a callback runs."""
    seen: list[str] = []

    def callback() -> None:
        kill(USR1)
        seen.append("callback")

    loop.add_signal_handler(USR1, seen.append, "signal")
    loop.call_soon(callback)
    until(loop, lambda: len(seen) == 2)
    assert seen == ["callback", "signal"]
    loop.remove_signal_handler(USR1)


def test_signal_before_the_run(loop: Loop) -> None:
    """S36.1, S36.4."""
    seen: list[int] = []
    loop.add_signal_handler(USR1, seen.append, 1)
    kill(USR1)
    kill(USR1)
    until(loop, lambda: bool(seen))
    loop.run_until_complete(asyncio.sleep(0.002))
    assert 1 <= len(seen) <= 2
    loop.remove_signal_handler(USR1)


def test_several_signals(loop: Loop) -> None:
    """S36.2, S36.4: each finds its handler."""
    seen: set[int] = set()
    loop.add_signal_handler(USR1, seen.add, 1)
    loop.add_signal_handler(USR2, seen.add, 2)
    kill(USR2)
    kill(USR1)
    until(loop, lambda: seen == {1, 2})
    assert loop.remove_signal_handler(USR1)
    seen.clear()
    kill(USR2)
    until(loop, lambda: seen == {2})
    loop.remove_signal_handler(USR2)


@pytest.mark.parametrize("wrong", [coroutine, coroutine()])
def test_coroutines_are_refused(loop: Loop, wrong: Any) -> None:
    """S35.1: also outside debug mode, and before anything else is checked."""
    text = re.escape("coroutines cannot be used with add_signal_handler()")
    with pytest.raises(TypeError, match=f"^{text}$"):
        loop.add_signal_handler("nonsense", wrong)
    if wrong is not coroutine:
        wrong.close()


@pytest.mark.parametrize("wrong", ["SIGUSR1", None, 1.0])
@pytest.mark.parametrize("name", ["add", "remove"])
def test_signals_are_ints(loop: Loop, name: str, wrong: Any) -> None:
    """S35.2, S36.5."""
    with pytest.raises(TypeError, match=f"^sig must be an int, not {re.escape(repr(wrong))}$"):
        call(loop, name, wrong)


@pytest.mark.parametrize("wrong", [-1, 0, 1000, False])
@pytest.mark.parametrize("name", ["add", "remove"])
def test_invalid_numbers(loop: Loop, name: str, wrong: int) -> None:
    """S35.2, S35.3, S36.5: enum members and bools are ints."""
    with pytest.raises(ValueError, match=f"^invalid signal number {wrong}$"):
        call(loop, name, wrong)


def call(loop: Loop, name: str, sig: Any) -> object:
    """add_signal_handler or remove_signal_handler."""
    if name == "add":
        return loop.add_signal_handler(sig, ignore)
    return loop.remove_signal_handler(sig)


def test_closed_loop_is_checked_last(loop: Loop) -> None:
    """S35.4."""
    loop.close()
    with pytest.raises(ValueError, match="invalid signal number"):
        loop.add_signal_handler(1000, ignore)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.add_signal_handler(USR1, ignore)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP])
def test_uncatchable(loop: Loop, sig: int) -> None:
    """S35.8, S36.6: and no wakeup fd stays."""
    with pytest.raises(RuntimeError, match=f"^sig {sig} cannot be caught$"):
        loop.add_signal_handler(sig, ignore)
    assert loop.remove_signal_handler(sig) is False
    assert signal.set_wakeup_fd(-1) == -1


def test_main_thread_only(loop: Loop) -> None:
    """S35.5."""
    caught: list[str] = []

    def in_thread() -> None:
        try:
            loop.add_signal_handler(USR1, ignore)
        except RuntimeError as exc:
            caught.append(str(exc))

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert caught == ["set_wakeup_fd only works in main thread of the main interpreter"]


def test_dispositions(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """S35.6: a do-nothing function, SA_RESTART, and the wakeup fd."""
    restarts: list[tuple[int, bool]] = []
    original = signal.siginterrupt

    def record(*args: Any) -> None:
        restarts.append(args)
        original(*args)

    monkeypatch.setattr(signal, "siginterrupt", record)
    loop.add_signal_handler(USR1, ignore)
    assert callable(signal.getsignal(USR1))
    assert restarts == [(USR1, False)]
    fd = signal.set_wakeup_fd(-1)
    assert fd != -1
    assert not os.get_blocking(fd)
    signal.set_wakeup_fd(fd)
    loop.remove_signal_handler(USR1)
    assert signal.getsignal(USR1) == signal.SIG_DFL


def test_second_handler_replaces(loop: Loop) -> None:
    """S35.7."""
    seen: list[int] = []
    loop.add_signal_handler(USR1, seen.append, 1)
    loop.add_signal_handler(USR1, seen.append, 2)
    kill(USR1)
    until(loop, lambda: bool(seen))
    assert seen == [2]
    assert loop.remove_signal_handler(USR1) is True
    assert loop.remove_signal_handler(USR1) is False


def test_context(loop: Loop) -> None:
    """S35.9."""
    number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)
    seen: list[int] = []

    def add() -> None:
        number.set(5)
        loop.add_signal_handler(USR1, lambda: seen.append(number.get()))

    contextvars.copy_context().run(add)
    kill(USR1)
    until(loop, lambda: seen == [5])
    loop.remove_signal_handler(USR1)


@pytest.mark.parametrize(("sig", "expected"), [(USR1, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)])
def test_removal_restores_the_default(loop: Loop, sig: int, expected: Any) -> None:
    """S36.5: the default, not the handler of before."""
    signal.signal(sig, ignore)
    loop.add_signal_handler(sig, ignore)
    assert loop.remove_signal_handler(sig) is True
    assert signal.getsignal(sig) == expected


def test_last_removal_resets_the_wakeup_fd(loop: Loop) -> None:
    """S36.7."""
    loop.add_signal_handler(USR1, ignore)
    loop.add_signal_handler(USR2, ignore)
    loop.remove_signal_handler(USR1)
    fd = signal.set_wakeup_fd(-1)
    assert fd != -1
    signal.set_wakeup_fd(fd)
    loop.remove_signal_handler(USR2)
    assert signal.set_wakeup_fd(-1) == -1


def test_close_removes_all(new_loop: NewLoop) -> None:
    """S36.8, S2.22."""
    loop = new_loop()
    loop.add_signal_handler(USR1, ignore)
    loop.add_signal_handler(USR2, ignore)
    loop.close()
    assert signal.set_wakeup_fd(-1) == -1
    assert signal.getsignal(USR1) == signal.SIG_DFL
    assert signal.getsignal(USR2) == signal.SIG_DFL


def test_closed_loops_get_no_signals(new_loop: NewLoop) -> None:
    """S36.7: the number of a descriptor that is closed may be a stranger's next."""
    running, other = new_loop(), new_loop()

    async def main() -> None:
        other.add_signal_handler(USR1, ignore)

    running.run_until_complete(main())
    other.close()
    running.close()
    assert signal.set_wakeup_fd(-1) == -1


@ferroloop_only("has no descriptor of its own before there is a handler", "S36.7")
def test_closed_loop_that_was_put_back(new_loop: NewLoop) -> None:
    """S36.7: the same for who restores, after the run, what was there in it."""
    loop = new_loop()
    taken: list[int] = []

    async def main() -> None:
        taken.append(signal.set_wakeup_fd(-1))

    loop.run_until_complete(main())
    assert taken[0] != -1
    signal.set_wakeup_fd(taken[0])
    loop.close()
    assert signal.set_wakeup_fd(-1) == -1


def test_wakeup_fd_of_the_user(loop: Loop) -> None:
    """S36.7: a run without handlers of its own neither starves nor forgets it."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.signal(USR1, ignore)
    signal.set_wakeup_fd(writer.fileno())
    try:
        loop.call_later(0.005, kill, USR1)
        loop.run_until_complete(asyncio.sleep(0.02))
        assert reader.recv(10) == bytes([USR1])
    finally:
        assert signal.set_wakeup_fd(-1) == writer.fileno()
    reader.close()
    writer.close()


@pytest.mark.parametrize("spoil", ["close", "make blocking"])
def test_wakeup_fd_of_the_user_is_spoilt(loop: Loop, spoil: str) -> None:
    """S36.7: one that set_wakeup_fd would not take again is no reason not to run."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno())
    try:
        if spoil == "close":
            writer.close()
        else:
            writer.setblocking(True)
        loop.run_until_complete(asyncio.sleep(0.001))
    finally:
        signal.set_wakeup_fd(-1)
        reader.close()
        writer.close()


def test_run_leaves_no_wakeup_fd(loop: Loop) -> None:
    """S36.7: whatever ends it."""

    def leave() -> None:
        raise KeyboardInterrupt

    loop.run_until_complete(asyncio.sleep(0.001))
    assert signal.set_wakeup_fd(-1) == -1
    loop.call_soon(leave)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert signal.set_wakeup_fd(-1) == -1


def test_handlers_survive_runs(loop: Loop) -> None:
    """S36.1, S36.7: the wakeup fd of a loop with handlers stays between its runs."""
    seen: list[int] = []
    loop.add_signal_handler(USR1, seen.append, 1)
    for _ in range(3):
        seen.clear()
        kill(USR1)
        until(loop, lambda: seen == [1])
    loop.remove_signal_handler(USR1)


def test_two_loops(new_loop: NewLoop) -> None:
    """S36.12: the last to add a handler owns the wakeup fd."""
    first, second = new_loop(), new_loop()
    seen: list[str] = []
    first.add_signal_handler(USR1, seen.append, "first")
    second.add_signal_handler(USR2, seen.append, "second")
    kill(USR2)
    until(second, lambda: seen == ["second"])
    second.remove_signal_handler(USR2)
    first.close()


def test_wakeup_channel(loop: Loop) -> None:
    """S6.4, S36.2: zeros only wake, numbers name signals, unknown ones are ignored."""
    seen: list[int] = []
    loop.add_signal_handler(USR1, seen.append, 1)
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    for data in (bytes(3), bytes([USR2]), bytes([255]), bytes(5000)):
        os.write(fd, data)
        loop.run_until_complete(asyncio.sleep(0.001))
    assert seen == []
    os.write(fd, bytes([0, USR1, 0]))
    until(loop, lambda: seen == [1])
    loop.remove_signal_handler(USR1)


def test_signal_storm(loop: Loop) -> None:
    """S36.4, S36.13: nothing is lost for ever."""
    seen: list[int] = []
    loop.add_signal_handler(USR1, seen.append, 1)
    for _ in range(100):
        kill(USR1)
    until(loop, lambda: bool(seen))
    loop.run_until_complete(asyncio.sleep(0.005))
    seen.clear()
    kill(USR1)
    until(loop, lambda: bool(seen))
    loop.remove_signal_handler(USR1)


def test_failing_handler(loop: Loop, errors: list[dict[str, Any]]) -> None:
    """S3.10, S36.1: as any callback."""
    loop.add_signal_handler(USR1, lambda: 1 // 0)
    kill(USR1)
    until(loop, lambda: bool(errors))
    assert isinstance(errors[0]["exception"], ZeroDivisionError)
    loop.remove_signal_handler(USR1)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_exit_request_of_a_handler(loop: Loop, kind: type[BaseException]) -> None:
    """S0.11."""

    def leave() -> None:
        raise kind

    loop.add_signal_handler(USR1, leave)
    kill(USR1)
    with pytest.raises(kind):
        loop.run_forever()
    loop.remove_signal_handler(USR1)


@ferroloop_only("no such promise in asyncio", "S36.8")
def test_late_signals_reach_no_foreign_fd(new_loop: NewLoop) -> None:
    """S36.8: after close() no byte of a signal goes to a reused descriptor."""
    loop = new_loop()
    loop.add_signal_handler(USR1, ignore)
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    pairs = [socket.socketpair() for _ in range(5)]
    signal.signal(USR1, ignore)
    kill(USR1)
    socks = [sock for pair in pairs for sock in pair]
    for sock in socks:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
    for sock in socks:
        sock.close()
