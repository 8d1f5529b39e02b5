"""S9: the chain of exception handlers."""

import asyncio
import contextvars
import logging
import re
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import since
from support.log import LogList
from support.loops import Loop
from support.net import eventually
from support.turns import turn

Context = dict[str, Any]


def errors_of(logged: LogList) -> list[str]:
    """First lines of what was logged as ERROR."""
    return [text.partition("\n")[0] for text in logged.texts(logging.ERROR)]


def fail(exc: BaseException) -> None:
    """Raise."""
    raise exc


@pytest.mark.parametrize("wrong", [1, "text", object()])
def test_handlers_are_callable_or_none(loop: Loop, wrong: object) -> None:
    """S9.1."""
    text = re.escape(f"A callable object or None is expected, got {wrong!r}")
    with pytest.raises(TypeError, match=f"^{text}$"):
        loop.set_exception_handler(wrong)


def test_get_exception_handler(loop: Loop) -> None:
    """S9.1, S9.2."""

    def handler(loop: Loop, context: Context) -> None:
        """A handler."""

    assert loop.get_exception_handler() is None
    loop.set_exception_handler(handler)
    assert loop.get_exception_handler() is handler
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None


def test_custom_handler(loop: Loop, logged: LogList) -> None:
    """S9.3: called as handler(loop, context), instead of the default."""
    seen: list[tuple[object, object]] = []
    loop.set_exception_handler(lambda *args: seen.append(args))
    context = {"message": "text"}
    loop.call_exception_handler(context)
    assert len(seen) == 1
    assert seen[0][0] is loop
    assert seen[0][1] is context
    assert logged.texts(logging.ERROR) == []


def test_none_restores_the_default(loop: Loop, logged: LogList) -> None:
    """S9.1."""
    loop.set_exception_handler(lambda *args: None)
    loop.set_exception_handler(None)
    loop.call_exception_handler({"message": "to the log"})
    assert logged.texts(logging.ERROR) == ["to the log"]


number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)


@since(3, 12)
@pytest.mark.parametrize("key", ["task", "future", "handle"])
def test_handler_runs_in_the_context_of(loop: Loop, key: str) -> None:
    """S9.4: of the task, the future or the handle."""
    seen: list[int] = []
    loop.set_exception_handler(lambda *_: seen.append(number.get()))
    context = contextvars.copy_context()
    context.run(number.set, 4)
    if key == "handle":
        loop.call_soon(fail, ValueError(), context=context)
        turn(loop)
    else:
        coro = asyncio.sleep(0)
        task = asyncio.Task(coro, loop=loop, context=context)
        loop.call_exception_handler({key: task})
        loop.run_until_complete(task)
    assert seen == [4]


@since(3, 12)
def test_the_task_context_comes_first(loop: Loop) -> None:
    """S9.4."""

    class Offers:
        def __init__(self, value: int) -> None:
            self.context = contextvars.copy_context()
            self.context.run(number.set, value)

        def get_context(self) -> contextvars.Context:
            return self.context

    seen: list[int] = []
    loop.set_exception_handler(lambda *_: seen.append(number.get()))
    loop.call_exception_handler({"handle": Offers(3), "future": Offers(2), "task": Offers(1)})
    loop.call_exception_handler({"handle": Offers(3), "future": Offers(2)})
    loop.call_exception_handler({"handle": object(), "future": None})
    assert seen == [1, 2, 0]


def test_failing_custom_handler(loop: Loop, logged: LogList) -> None:
    """S9.5."""

    def handler(loop: Loop, context: Context) -> None:
        raise LookupError("in handler")

    loop.set_exception_handler(handler)
    loop.call_exception_handler({"message": "original"})
    (text,) = logged.texts(logging.ERROR)
    lines = ["Unhandled error in exception handler", "context: {'message': 'original'}"]
    assert text.splitlines()[:2] == lines
    assert logged.records[-1].exc_info[0] is LookupError


def make(loop_class: type, raised: list[BaseException]) -> Any:
    """A loop whose default handler raises what is in the list."""

    class Failing(loop_class):
        def default_exception_handler(self, context: Context) -> None:
            raise raised[0]

    return Failing()


def test_default_handler_fails_too(loop_class: type, logged: LogList) -> None:
    """S9.6, S1.9."""
    loop = make(loop_class, [ArithmeticError()])
    loop.set_exception_handler(lambda *_: fail(LookupError()))
    loop.call_exception_handler({})
    loop.close()
    assert errors_of(logged) == [
        "Exception in default exception handler while handling an unexpected error in custom exception handler"
    ]
    assert logged.records[-2].exc_info or logged.records[-1].exc_info


def test_default_handler_fails_alone(loop_class: type, logged: LogList) -> None:
    """S9.7, S1.9."""
    loop = make(loop_class, [ArithmeticError()])
    loop.call_exception_handler({})
    loop.close()
    assert errors_of(logged) == ["Exception in default exception handler"]
    record = next(r for r in logged.records if r.levelno == logging.ERROR)
    assert record.exc_info
    assert record.exc_info[0] is ArithmeticError


class Odd(BaseException):
    """Neither an Exception nor an exit request."""


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_exit_requests_pass_all_layers(loop_class: type, kind: type[BaseException]) -> None:
    """S9.8, S0.11."""
    raised: list[BaseException] = [kind()]
    loop = make(loop_class, raised)
    with pytest.raises(kind):
        loop.call_exception_handler({})
    loop.set_exception_handler(lambda *_: fail(kind()))
    with pytest.raises(kind):
        loop.call_exception_handler({})
    loop.set_exception_handler(lambda *_: fail(LookupError()))
    with pytest.raises(kind):
        loop.call_exception_handler({})
    loop.close()


def test_other_base_exceptions_are_caught(loop_class: type, logged: LogList) -> None:
    """S9.8, S0.12."""
    loop = make(loop_class, [Odd()])
    loop.call_exception_handler({})
    loop.set_exception_handler(lambda *_: fail(Odd()))
    loop.call_exception_handler({})
    loop.close()
    assert len(errors_of(logged)) == 2


@pytest.mark.parametrize("method", ["connection_made", "data_received", "connection_lost"])
def test_failures_of_protocols_are_current(loop: Loop, method: str) -> None:
    """S9.3: `logging.exception()` in a handler knows what has failed."""
    current: list[BaseException | None] = []
    loop.set_exception_handler(lambda *_: current.append(sys.exc_info()[1]))
    failure = ValueError(method)
    protocol = type("Failing", (asyncio.Protocol,), {method: lambda *_: fail(failure)})

    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            transport, _ = await loop.create_connection(protocol, sock=ours)
            theirs.send(b"x")
            await eventually(lambda: current or method == "connection_lost")
            transport.close()
            await eventually(lambda: current)

    loop.run_until_complete(main())
    assert current == [failure]
    assert sys.exc_info() == (None, None, None)


@pytest.mark.parametrize("schedule", ["call_soon", "call_later"])
def test_failures_of_callbacks_are_current(loop: Loop, schedule: str) -> None:
    """S9.3: and what the handler lets through has them for its context."""
    failure = ValueError()
    loop.set_exception_handler(lambda *_: fail(KeyboardInterrupt()))
    delay = (0,) if schedule == "call_later" else ()
    getattr(loop, schedule)(*delay, fail, failure)
    with pytest.raises(KeyboardInterrupt) as interrupt:
        loop.run_forever()
    assert interrupt.value.__context__ is failure


def test_failing_description_of_a_failed_callback(loop: Loop) -> None:
    """S3.10: the failure itself is not lost over it."""
    failure = KeyError()

    class Callback:
        def __call__(self) -> None:
            raise failure

        def __repr__(self) -> str:
            raise ValueError

    loop.call_soon(Callback())
    with pytest.raises(ValueError, match=r"^$") as caught:
        loop.run_forever()
    assert caught.value.__context__ is failure


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_exit_request_of_a_handler_leaves_the_run(loop: Loop, kind: type[BaseException]) -> None:
    """S9.8: also when a callback's failure led to it."""
    seen: list[str] = []
    loop.set_exception_handler(lambda *_: fail(kind()))
    loop.call_soon(fail, ValueError())
    loop.call_soon(seen.append, "rest")
    with pytest.raises(kind):
        loop.run_forever()
    assert seen == []
    turn(loop)
    assert seen == ["rest"]


@pytest.mark.parametrize("context", [{}, {"message": ""}, {"message": None}])
def test_default_message(loop: Loop, logged: LogList, context: Context) -> None:
    """S9.9."""
    loop.call_exception_handler(context)
    assert logged.texts(logging.ERROR) == ["Unhandled exception in event loop"]


def test_default_handler_prints_all_keys(loop: Loop, logged: LogList) -> None:
    """S9.9, S9.12: sorted, by repr, unknown ones too; the exception as exc_info."""
    exc = ValueError("v")
    loop.call_exception_handler({"zebra": 1, "message": "text", "transport": "t", "asyncgen": None, "exception": exc})
    assert logged.texts(logging.ERROR) == ["text\nasyncgen: None\ntransport: 't'\nzebra: 1"]
    info = logged.records[-1].exc_info
    assert info
    assert info[1] is exc


def test_default_handler_without_exception(loop: Loop, logged: LogList) -> None:
    """S9.9."""
    loop.call_exception_handler({"message": "text"})
    assert not logged.records[-1].exc_info


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("source_traceback", "Object created at (most recent call last):"),
        ("handle_traceback", "Handle created at (most recent call last):"),
    ],
)
def test_default_handler_prints_tracebacks(loop: Loop, logged: LogList, key: str, title: str) -> None:
    """S9.10."""
    stack = traceback.extract_stack(sys._getframe(), limit=2)
    loop.call_exception_handler({"message": "text", key: stack})
    frames = "".join(traceback.format_list(stack)).rstrip()
    assert logged.texts(logging.ERROR) == [f"text\n{key}: {title}\n{frames}"]


def test_custom_handler_may_call_the_default(loop: Loop, logged: LogList) -> None:
    """S9.13."""
    loop.set_exception_handler(lambda loop, context: loop.default_exception_handler(context))
    loop.call_soon(fail, ValueError("v"))
    turn(loop)
    assert errors_of(logged)[0].startswith("Exception in callback fail(")


def test_overridden_call_exception_handler(loop_class: type) -> None:
    """S1.9: failures of callbacks and tasks reach the override."""
    seen: list[str] = []

    class Overriding(loop_class):
        def call_exception_handler(self, context: Context) -> None:
            seen.append(type(context["exception"]).__name__)

    async def forgotten() -> None:
        raise LookupError

    async def main() -> None:
        task = asyncio.ensure_future(forgotten())
        await asyncio.wait([task])

    loop = Overriding()
    loop.call_soon(fail, ValueError())
    loop.run_until_complete(main())
    loop.close()
    assert seen == ["ValueError", "LookupError"]


CASES: dict[str, Callable[[Loop], object]] = {
    "callback": lambda loop: loop.call_soon(fail, ValueError()),
    "timer": lambda loop: loop.call_later(0, fail, ValueError()),
    "thread": lambda loop: loop.call_soon_threadsafe(fail, ValueError()),
}


@pytest.mark.parametrize("name", CASES)
def test_loop_goes_on(loop: Loop, errors: list[Context], name: str) -> None:
    """S9.14."""
    CASES[name](loop)
    assert loop.run_until_complete(asyncio.sleep(0.002, "alive")) == "alive"
    assert len(errors) == 1
