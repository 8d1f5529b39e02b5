"""S35, S36: what becomes of handles, dispositions and the wakeup descriptor. The rest is in test_signals.py."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.fds import no_descriptors
from support.gates import ferroloop_only
from support.log import LogList
from support.loops import Loop, NewLoop
from support.net import unix_pair
from support.scripts import Script
from support.signals import restarts_system_calls, wakeup_fd
from support.turns import turn, until

RunScript = Callable[..., Script]
Pair = tuple[socket.socket, socket.socket]

pytestmark = pytest.mark.usefixtures("dispositions")


def ignore(*args: object) -> None:
    """A callback."""


def handles(loop: Loop) -> dict[int, Any]:
    """The loop's table of handlers."""
    table: dict[int, Any] = loop._signal_handlers
    return table


@pytest.fixture
def foreign() -> Iterator[Pair]:
    """A wakeup descriptor set by somebody else: its reading and its writing end."""
    reader, writer = unix_pair()
    with reader, writer:
        signal.set_wakeup_fd(writer.fileno())
        yield reader, writer
        signal.set_wakeup_fd(-1)


def test_members_and_numbers_name_the_same(loop: Loop) -> None:
    """S35.2."""
    loop.add_signal_handler(int(signal.SIGUSR1), ignore)
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    loop.add_signal_handler(True, ignore)  # SIGHUP
    assert loop.remove_signal_handler(signal.SIGHUP) is True


def test_what_is_installed(loop: Loop) -> None:
    """S35.6, S47.9: the pipe, a do-nothing handler, SA_RESTART; the loop need not run (S35.5)."""
    assert loop.add_signal_handler(signal.SIGUSR1, ignore) is None
    assert wakeup_fd() != -1
    handler = signal.getsignal(signal.SIGUSR1)
    assert callable(handler)
    assert handler(signal.SIGUSR1, None) is None
    assert isinstance(handles(loop)[signal.SIGUSR1], asyncio.Handle)
    if sys.platform == "linux":
        assert restarts_system_calls(signal.SIGUSR1)
    loop.close()


def test_numbers_without_a_handler_are_ignored(loop: Loop) -> None:
    """S36.2, S6.4: zero only wakes."""
    seen: list[int] = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
    os.write(wakeup_fd(), bytes([0, signal.SIGUSR2, 200, 0, signal.SIGUSR1]))
    until(loop, lambda: seen != [])
    assert seen == [1]


def test_a_cancelled_handle_is_removed(loop: Loop) -> None:
    """S36.3."""
    loop.add_signal_handler(signal.SIGUSR1, ignore)
    handles(loop)[signal.SIGUSR1].cancel()
    signal.raise_signal(signal.SIGUSR1)
    until(loop, lambda: handles(loop) == {})
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_removal_while_running(loop: Loop) -> None:
    """S36.5, S36.7: afterwards the descriptor is free."""
    seen: list[int] = []

    def handler() -> None:
        seen.append(1)
        loop.remove_signal_handler(signal.SIGUSR1)

    loop.add_signal_handler(signal.SIGUSR1, handler)
    signal.raise_signal(signal.SIGUSR1)
    until(loop, lambda: seen != [])
    turn(loop, 2)
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    assert wakeup_fd() == -1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_uncatchable_signals(loop: Loop, number: signal.Signals) -> None:
    """S35.8, S36.6."""
    with pytest.raises(RuntimeError, match=rf"^sig {number} cannot be caught$"):
        loop.add_signal_handler(number, ignore)
    assert handles(loop) == {}
    assert wakeup_fd() == -1
    loop.add_signal_handler(signal.SIGUSR1, ignore)
    with pytest.raises(RuntimeError, match=rf"^sig {number} cannot be caught$"):
        loop.add_signal_handler(number, ignore)
    assert wakeup_fd() != -1, "the other handler still needs it"
    handles(loop)[number] = handles(loop)[signal.SIGUSR1]
    with pytest.raises(RuntimeError, match=rf"^sig {number} cannot be caught$"):
        loop.remove_signal_handler(number)


def test_failure_to_let_go_is_logged(loop: Loop, logged: LogList, monkeypatch: pytest.MonkeyPatch) -> None:
    """S35.8, S36.7."""
    loop.add_signal_handler(signal.SIGUSR1, ignore)
    with monkeypatch.context() as patched:

        def fail(fd: int, **_keywords: object) -> int:
            raise ValueError("not today")

        patched.setattr(signal, "set_wakeup_fd", fail)
        assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert "set_wakeup_fd(-1) failed: not today" in logged.texts()
    signal.set_wakeup_fd(-1)


@pytest.mark.parametrize("own", [True, False])
def test_close_at_interpreter_shutdown(run_script: RunScript, own: bool) -> None:
    """S36.9, S55.2."""
    code = f"""
import signal
loop = new_event_loop()
if {own}:
    loop.add_signal_handler(signal.SIGUSR1, print)
"""
    script = run_script(code, "-Wdefault::ResourceWarning")
    assert "unclosed event loop" in script.err
    assert ("Closing the loop <" in script.err) is own
    assert ("on interpreter shutdown stage, skipping signal handlers removal" in script.err) is own
    assert "Traceback" not in script.err


def test_a_run_without_descriptors(loop: Loop) -> None:
    """S36.1: there is no self-pipe to be had, and still the loop runs."""
    with no_descriptors():
        assert loop.run_until_complete(asyncio.sleep(0.001, "ran")) == "ran"
    assert loop.run_until_complete(asyncio.sleep(0, "again")) == "again"


def test_the_last_loop_to_add_owns_the_wakeup_fd(new_loop: NewLoop) -> None:
    """S36.12."""
    first, second = new_loop(), new_loop()
    first.add_signal_handler(signal.SIGUSR1, ignore)
    fd = wakeup_fd()
    second.add_signal_handler(signal.SIGUSR2, ignore)
    assert wakeup_fd() not in (-1, fd)
    first.add_signal_handler(signal.SIGUSR1, ignore)
    assert wakeup_fd() == fd
    first.close()
    second.close()
    assert wakeup_fd() == -1


@ferroloop_only("asyncio takes the other loop's signals away", "S36.12, S36.7")
def test_a_loop_that_ends_leaves_the_other_its_signals(new_loop: NewLoop) -> None:
    """S36.12, S36.7, S36.8: whichever ends first."""
    first, second, third = new_loop(), new_loop(), new_loop()
    seen: list[str] = []
    first.add_signal_handler(signal.SIGUSR1, seen.append, "first")
    second.add_signal_handler(signal.SIGUSR2, seen.append, "second")
    third.add_signal_handler(signal.SIGTERM, seen.append, "third")
    second.close()  # not the owner
    signal.raise_signal(signal.SIGTERM)
    until(third, lambda: seen == ["third"])
    third.close()  # whose predecessor is closed: its number must not be written to
    assert wakeup_fd() == -1
    first.close()


@ferroloop_only("asyncio resets it to -1", "S36.7")
def test_a_foreign_wakeup_fd_comes_back(loop: Loop, foreign: Pair) -> None:
    """S36.7."""
    theirs = wakeup_fd()
    loop.add_signal_handler(signal.SIGUSR1, ignore)
    loop.add_signal_handler(signal.SIGUSR2, ignore)
    turn(loop)
    assert wakeup_fd() not in (-1, theirs)
    loop.remove_signal_handler(signal.SIGUSR1)
    loop.remove_signal_handler(signal.SIGUSR2)
    assert wakeup_fd() == theirs


@ferroloop_only("asyncio resets it to -1", "S36.7")
def test_a_foreign_wakeup_fd_comes_back_during_a_run(loop: Loop, foreign: Pair) -> None:
    """S36.7."""
    theirs = wakeup_fd()

    async def main() -> None:
        loop.add_signal_handler(signal.SIGUSR1, ignore)
        assert wakeup_fd() != theirs
        loop.remove_signal_handler(signal.SIGUSR1)
        assert wakeup_fd() == theirs

    loop.run_until_complete(main())
    assert wakeup_fd() == theirs


@ferroloop_only("asyncio resets it to -1", "S36.7, S36.8")
def test_a_closed_foreign_wakeup_fd_is_forgotten(loop: Loop, foreign: Pair) -> None:
    """S36.7, S36.8: its number may be another file's, and signals must not be written there."""
    number = wakeup_fd()
    loop.add_signal_handler(signal.SIGUSR1, ignore)
    foreign[1].close()
    with socket.socket() as stranger:
        stranger.setblocking(False)
        assert stranger.fileno() == number
        loop.remove_signal_handler(signal.SIGUSR1)
        assert wakeup_fd() == -1


@ferroloop_only("asyncio's runs take no descriptor", "S36.8")
@pytest.mark.parametrize("moment", ["taken", "given back"])
def test_an_interrupt_leaves_no_wakeup_fd_behind(loop: Loop, moment: str) -> None:
    """S36.8: Ctrl-C just as a run takes the descriptor, or gives it back: closed loops have none."""
    calls = 0 if moment == "taken" else 1

    def interrupt(_: object, event: str, function: object) -> None:
        nonlocal calls
        if event == "c_return" and function is signal.set_wakeup_fd:
            calls -= 1
            if calls < 0:
                sys.setprofile(None)
                raise KeyboardInterrupt

    future = loop.create_future()
    future.set_result(None)
    sys.setprofile(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(future)
    finally:
        sys.setprofile(None)
    assert asyncio._get_running_loop() is None
    loop.close()
    assert wakeup_fd() == -1
    assert sys.get_asyncgen_hooks() == (None, None)


@ferroloop_only("asyncio's is made with the loop", "S36.2")
def test_self_pipe_in_the_place_of_a_closed_file(loop: Loop) -> None:
    """S36.2: whoever watched the file is dropped, and may use the loop once more."""
    seen: list[int] = []

    class Reader:
        def __call__(self) -> None:
            """Not called any more."""

        def __del__(self) -> None:
            loop.call_soon(seen.append, 1)

    read_end, write_end = os.pipe()
    loop.add_reader(read_end, Reader())
    os.close(read_end)
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 2)
    os.close(write_end)
    signal.raise_signal(signal.SIGUSR1)
    until(loop, lambda: sorted(seen) == [1, 2])


def test_sigchld_belongs_to_the_user(loop: Loop) -> None:
    """S36.2, S41.9: nothing of the loop's own uses it."""
    seen: list[int] = []
    loop.add_signal_handler(signal.SIGCHLD, seen.append, 1)
    pid = os.posix_spawn("/bin/true", ["true"], {})
    until(loop, lambda: seen != [])
    assert os.waitpid(pid, 0) == (pid, 0), "the child was not reaped by anybody else"
    assert loop.remove_signal_handler(signal.SIGCHLD) is True
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
