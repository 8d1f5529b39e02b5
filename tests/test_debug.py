"""S8: debug mode."""

import _thread
import asyncio
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import ferroloop_only, since
from support.log import LogList
from support.loops import Loop
from support.net import unix_pair
from support.protocols import Recorder
from support.scripts import Script, environment
from support.turns import turn


def ignore(*args: object) -> None:
    """A callback."""


async def coroutine() -> None:
    """A coroutine function."""


MODES: dict[str, tuple[list[str], dict[str, str], bool]] = {
    "default": ([], {}, False),
    "dev": (["-X", "dev"], {}, True),
    "variable": ([], {"PYTHONASYNCIODEBUG": "1"}, True),
    "empty variable": ([], {"PYTHONASYNCIODEBUG": ""}, False),
    "ignored variable": (["-E"], {"PYTHONASYNCIODEBUG": "1"}, False),
}


@pytest.mark.parametrize("mode", MODES)
def test_initial_value(run_script: Callable[..., Script], mode: str) -> None:
    """S8.1."""
    options, variables, expected = MODES[mode]
    code = "loop = new_event_loop(); print(loop.get_debug()); loop.close()"
    script = run_script(code, *options, env=environment(**variables))
    assert script.out.split() == [str(expected)]


def test_set_and_get(loop: Loop) -> None:
    """S8: set_debug, get_debug, slow_callback_duration."""
    assert loop.get_debug() is False
    loop.set_debug(True)
    assert loop.get_debug() is True
    loop.set_debug(False)
    assert loop.get_debug() is False
    assert loop.slow_callback_duration == 0.1


SCHEDULERS: dict[str, Callable[[Loop, Any], object]] = {
    "call_soon": lambda loop, f: loop.call_soon(f),
    "call_at": lambda loop, f: loop.call_at(loop.time(), f),
    "call_later": lambda loop, f: loop.call_later(0, f),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_foreign_thread_is_refused(loop: Loop, name: str) -> None:
    """S8.3."""
    loop.set_debug(True)
    caught: list[str] = []

    def in_thread() -> None:
        try:
            SCHEDULERS[name](loop, ignore)
        except RuntimeError as exc:
            caught.append(str(exc))

    loop.run_until_complete(asyncio.to_thread(in_thread))
    assert caught == ["Non-thread-safe operation invoked on an event loop other than the current one"]


def test_thread_without_python_code(loop: Loop) -> None:
    """S8.2: there is no caller to be told of."""
    loop.set_debug(True)
    called = loop.create_future()
    _thread.start_new_thread(loop.call_soon_threadsafe, (called.set_result, None))
    loop.run_until_complete(asyncio.wait_for(called, 5))


@pytest.mark.parametrize("end", ["close", "abort"])
def test_ends_of_connections_in_foreign_threads(loop: Loop, end: str) -> None:
    """S8.3: they schedule the loss of the connection."""
    loop.set_debug(True)
    left, right = unix_pair()

    async def main() -> None:
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        with pytest.raises(RuntimeError, match=r"^Non-thread-safe operation invoked"):
            await asyncio.to_thread(getattr(transport, end))
        # asyncio's has half ended by then, and nothing else ends the rest.
        getattr(transport, "_call_connection_lost", transport._force_close)(None)
        right.close()
        await asyncio.sleep(0)
        assert len(protocol.lost) == 1

    loop.run_until_complete(main())


@pytest.mark.parametrize("name", SCHEDULERS)
def test_no_thread_check_while_not_running(loop: Loop, name: str) -> None:
    """S8.3."""
    loop.set_debug(True)
    thread = threading.Thread(target=SCHEDULERS[name], args=(loop, ignore))
    thread.start()
    thread.join()
    turn(loop)


def test_no_thread_check_outside_debug_mode(loop: Loop) -> None:
    """S8.3, S8.5."""
    loop.run_until_complete(asyncio.to_thread(loop.call_soon, ignore))


CHECKED: dict[str, tuple[str, Callable[[Loop, Any], object]]] = {
    "call_soon": ("call_soon", SCHEDULERS["call_soon"]),
    "call_at": ("call_at", SCHEDULERS["call_at"]),
    "call_later": ("call_at", SCHEDULERS["call_later"]),
    "call_soon_threadsafe": ("call_soon_threadsafe", lambda loop, f: loop.call_soon_threadsafe(f)),
    "run_in_executor": ("run_in_executor", lambda loop, f: loop.run_in_executor(None, f)),
}


@pytest.mark.parametrize("name", CHECKED)
def test_callbacks_are_checked(loop: Loop, name: str) -> None:
    """S8.4."""
    reported, schedule = CHECKED[name]
    loop.set_debug(True)
    text = re.escape(f"coroutines cannot be used with {reported}()")
    with pytest.raises(TypeError, match=f"^{text}$"):
        schedule(loop, coroutine)
    coro = coroutine()
    with pytest.raises(TypeError, match=f"^{text}$"):
        schedule(loop, coro)
    coro.close()
    text = re.escape(f"a callable object was expected by {reported}(), got 'text'")
    with pytest.raises(TypeError, match=f"^{text}$"):
        schedule(loop, "text")


@pytest.mark.parametrize("name", [*SCHEDULERS, "call_soon_threadsafe"])
def test_callbacks_are_unchecked_outside_debug_mode(loop: Loop, errors: list[dict[str, Any]], name: str) -> None:
    """S8.5: the bad one fails when run."""
    CHECKED[name][1](loop, "text")
    turn(loop)
    assert [str(context["exception"]) for context in errors] == ["'str' object is not callable"]


def slow(loop: Loop, seconds: float) -> None:
    """Take longer than the loop allows."""
    time.sleep(seconds)


def test_slow_handle_is_logged(loop: Loop, logged: LogList) -> None:
    """S8.6."""
    loop.set_debug(True)
    loop.slow_callback_duration = 0.01
    loop.call_soon(ignore)
    line = sys._getframe().f_lineno + 1
    loop.call_soon(slow, loop, 0.02)
    turn(loop)
    (text,) = logged.texts(logging.WARNING, slow=True)
    took = re.fullmatch(r"Executing <\w+ slow\(.*\) at .* created at .*> took (\S+) seconds", text)
    assert took, text
    assert re.fullmatch(r"\d+\.\d{3}", took[1])
    assert 0.02 <= float(took[1]) < 5
    assert f"created at {__file__}:{line}" in text


def test_slow_by_the_loops_own_clock(loop_class: type, logged: LogList) -> None:
    """S8.6, S1.9."""

    class Clocked(loop_class):
        seconds = 0.0

        def time(self) -> float:
            return self.seconds

    def work() -> None:
        loop.seconds += 10

    loop = Clocked()
    loop.set_debug(True)
    loop.call_soon(work)
    turn(loop)
    loop.close()
    (text,) = logged.texts(logging.WARNING, slow=True)
    assert text.endswith(" took 10.000 seconds")


def test_slow_task_is_logged_as_the_task(loop: Loop, logged: LogList) -> None:
    """S8.6."""
    loop.set_debug(True)
    loop.slow_callback_duration = 0.01

    async def main() -> None:
        time.sleep(0.02)
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    texts = logged.texts(logging.WARNING, slow=True)
    assert len(texts) == 1
    took = re.match(r"Executing <Task .* coro=<.*main\(\).*> took (\d+\.\d{3}) seconds$", texts[0])
    assert took, texts[0]
    assert 0.02 <= float(took[1]) < 5


def test_slow_is_not_logged_outside_debug_mode(loop: Loop, logged: LogList) -> None:
    """S8.6, S8.12."""
    loop.slow_callback_duration = 0.001
    loop.call_soon(slow, loop, 0.01)
    turn(loop)
    assert logged.texts(logging.WARNING, slow=True) == []


def test_poll_duration_is_not_logged(loop: Loop, logged: LogList) -> None:
    """S8.12."""
    loop.set_debug(True)
    loop.slow_callback_duration = 0.001
    loop.run_until_complete(asyncio.sleep(0.01))
    assert not [text for text in logged.texts() if text.startswith("poll")]


MAKERS: dict[str, Callable[[Loop], Any]] = {
    "call_soon": lambda loop: loop.call_soon(ignore),
    "call_soon_threadsafe": lambda loop: loop.call_soon_threadsafe(ignore),
    "call_later": lambda loop: loop.call_later(1, ignore),
    "call_at": lambda loop: loop.call_at(1, ignore),
    "create_task": lambda loop: loop.create_task(coroutine()),
}


@pytest.mark.parametrize("name", MAKERS)
def test_source_traceback_ends_at_the_caller(loop: Loop, name: str) -> None:
    """S8.7, S10.3: no frame of the loop after the user's line."""
    loop.set_debug(True)
    made = MAKERS[name](loop)
    last = made._source_traceback[-1]
    assert last.filename == __file__
    assert last.lineno == MAKERS[name].__code__.co_firstlineno
    turn(loop, 2)


@ferroloop_only("asyncio leaves its own frame in the traceback of a future", "S8.7")
def test_source_traceback_of_a_future(loop: Loop) -> None:
    """S8.7."""
    loop.set_debug(True)
    line = sys._getframe().f_lineno + 1
    future: Any = loop.create_future()
    last = future._source_traceback[-1]
    assert (last.filename, last.lineno) == (__file__, line)


def deep(levels: int, loop: Loop) -> Any:
    """Make a handle from a deep stack."""
    return deep(levels - 1, loop) if levels else loop.call_soon(ignore)


def test_source_traceback_is_shallow(loop: Loop) -> None:
    """S8.7, S0.26: ten frames, of which asyncio spends two on itself."""
    loop.set_debug(True)
    handle = deep(30, loop)
    assert 8 <= len(handle._source_traceback) <= 10
    assert {frame.name for frame in handle._source_traceback} == {"deep"}


def test_no_source_traceback_outside_debug_mode(loop: Loop) -> None:
    """S8.7."""
    assert loop.call_soon(ignore)._source_traceback is None


def test_coroutine_origin_tracking(loop: Loop) -> None:
    """S8.8, S2.6: depth 10 while running, then what it was."""
    loop.set_debug(True)
    seen: list[int] = []
    loop.call_soon(lambda: seen.append(sys.get_coroutine_origin_tracking_depth()))
    sys.set_coroutine_origin_tracking_depth(3)
    try:
        turn(loop)
        assert seen == [10]
        assert sys.get_coroutine_origin_tracking_depth() == 3
    finally:
        sys.set_coroutine_origin_tracking_depth(0)


def test_switching_while_running(loop: Loop) -> None:
    """S8.9: the tracking changes in a later iteration."""
    depth = sys.get_coroutine_origin_tracking_depth

    async def main() -> list[int]:
        depths = [depth()]
        for enabled in (True, False):
            loop.set_debug(enabled)
            assert loop.get_debug() is enabled
            depths.append(depth())
            await asyncio.sleep(0.001)
            depths.append(depth())
        return depths

    assert loop.run_until_complete(main()) == [0, 0, 10, 10, 0]


def test_transports_log(loop: Loop, logged: LogList, run: Callable[..., Any]) -> None:
    """S8.11."""
    loop.set_debug(True)
    left, right = socket.socketpair()

    async def main() -> list[str]:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
        name = f"<{type(transport).__name__} fd={left.fileno()} read="
        transport.pause_reading()
        transport.resume_reading()
        right.close()
        while not transport.is_closing():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)
        return [t for t in logged.texts(logging.DEBUG) if t.startswith(name)]

    texts = run(main())
    words = ["pauses reading", "resumes reading", "received EOF"]
    assert [text.partition(">> ")[2] for text in texts] == words


def test_running_handle_is_remembered(loop: Loop, logged: LogList) -> None:
    """S8.13, S9.9, S9.11: reports made by a callback say where its handle was made."""
    loop.set_debug(True)
    line = sys._getframe().f_lineno + 1
    loop.call_soon(lambda: loop.call_exception_handler({"message": "oops"}))
    turn(loop)
    (text,) = logged.texts(logging.ERROR)
    assert text.startswith("oops\nhandle_traceback: Handle created at (most recent call last):\n")
    assert f'File "{__file__}", line {line}' in text
    loop.call_exception_handler({"message": "later"})
    assert logged.texts(logging.ERROR)[-1] == "later"


def test_blocking_sockets_are_refused(loop: Loop) -> None:
    """S8.10: by sock_connect."""
    loop.set_debug(True)
    with socket.socket() as sock, pytest.raises(ValueError, match=r"^the socket must be non-blocking$"):
        loop.run_until_complete(loop.sock_connect(sock, ("127.0.0.1", 1)))


@since(3, 14)
def test_inner_checks_do_not_warn(loop: Loop) -> None:
    """S56.2: telling coroutine functions apart uses no deprecated name."""
    loop.set_debug(True)
    loop.call_soon(ignore)
    with pytest.raises(TypeError):
        loop.call_soon(coroutine)
    turn(loop)
