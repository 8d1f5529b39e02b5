"""S2.12-S2.19: run_until_complete."""

import asyncio
import gc
import logging
from typing import Any

import pytest
from support.log import LogList
from support.loops import Loop, NewLoop


class Boom(Exception):
    """Raised by tests."""


@pytest.mark.parametrize("wrong", [None, 42, "text", print])
def test_run_until_complete_wants_an_awaitable(loop: Loop, wrong: object) -> None:
    """S2.12."""
    text = "An asyncio.Future, a coroutine or an awaitable is required"
    with pytest.raises(TypeError, match=f"^{text}$"):
        loop.run_until_complete(wrong)


class Awaitable:
    """An awaitable that is neither coroutine nor future."""

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        return "awaited"


def test_run_until_complete_takes_all_awaitables(loop: Loop) -> None:
    """S2.12, S2.14."""
    future: asyncio.Future[None] = asyncio.Future(loop=loop)
    loop.call_soon(future.set_result, None)
    assert loop.run_until_complete(future) is None
    assert loop.run_until_complete(Awaitable()) == "awaited"
    assert loop.run_until_complete(asyncio.sleep(0, "slept")) == "slept"


def test_future_of_another_loop(new_loop: NewLoop) -> None:
    """S2.13."""
    text = "The future belongs to a different loop than the one specified as the loop argument"
    with pytest.raises(ValueError, match=f"^{text}$"):
        new_loop().run_until_complete(asyncio.Future(loop=new_loop()))


def test_run_until_complete_raises_the_exception(loop: Loop) -> None:
    """S2.14."""
    future: asyncio.Future[None] = asyncio.Future(loop=loop)
    loop.call_soon(future.set_exception, Boom("in future"))
    with pytest.raises(Boom, match="in future"):
        loop.run_until_complete(future)


def test_run_stopped_too_early(loop: Loop, logged: LogList) -> None:
    """S2.15, S2.16: and the abandoned task of its own is not reported as pending."""

    async def stuck() -> None:
        loop.stop()
        await loop.create_future()

    with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed\.$"):
        loop.run_until_complete(stuck())
    gc.collect()
    assert logged.texts(logging.ERROR) == []
    assert not asyncio.all_tasks(loop)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_exit_request_in_the_awaited_task(loop: Loop, logged: LogList, kind: type[BaseException]) -> None:
    """S2.17, S2.18: raised, retrieved, and no stop is left for the next run."""

    async def leave() -> None:
        raise kind

    with pytest.raises(kind):
        loop.run_until_complete(leave())
    gc.collect()
    assert logged.texts(logging.ERROR) == []
    assert loop.run_until_complete(asyncio.sleep(0.005, "whole run")) == "whole run"


def test_other_base_exceptions_are_results(loop: Loop) -> None:
    """S2.19, S0.12: only the two exit requests unwind the loop."""

    class Odd(BaseException):
        pass

    async def leave() -> None:
        raise Odd

    after: list[int] = []
    loop.call_soon(after.append, 1)
    with pytest.raises(Odd):
        loop.run_until_complete(leave())
    assert after == [1]
    assert loop.run_until_complete(asyncio.sleep(0.005, "whole run")) == "whole run"


def test_completion_callback_is_removed(loop: Loop) -> None:
    """S2.18: a future that outlives the run no longer stops the loop."""
    future: asyncio.Future[None] = asyncio.Future(loop=loop)
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="stopped before"):
        loop.run_until_complete(future)
    future.set_result(None)
    assert loop.run_until_complete(asyncio.sleep(0.005, "whole run")) == "whole run"
