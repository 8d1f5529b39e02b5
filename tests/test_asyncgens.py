"""S11: asynchronous generators and their shutdown."""

import asyncio
import gc
import re
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.loops import Loop
from support.turns import turn, until


async def counting(closed: list[str], name: str = "gen") -> AsyncIterator[int]:
    """Count until closed."""
    try:
        n = 0
        while True:
            yield n
            n += 1
    finally:
        await asyncio.sleep(0)
        closed.append(name)


async def failing() -> AsyncIterator[int]:
    """Fail when closed."""
    try:
        yield 1
    finally:
        raise ZeroDivisionError


def test_hooks_while_running(loop: Loop) -> None:
    """S11.1, S2.5."""
    outside = sys.get_asyncgen_hooks()
    seen: list[Any] = []
    loop.call_soon(lambda: seen.append(sys.get_asyncgen_hooks()))
    turn(loop)
    assert seen[0].firstiter is not None
    assert seen[0].finalizer is not None
    assert sys.get_asyncgen_hooks() == outside


def test_shutdown_closes_all(loop: Loop) -> None:
    """S11.2, S11.4."""
    closed: list[str] = []

    async def main() -> list[Any]:
        gens = [counting(closed, name) for name in "abc"]
        for gen in gens:
            await anext(gen)
        await loop.shutdown_asyncgens()
        return gens

    gens = loop.run_until_complete(main())
    assert sorted(closed) == ["a", "b", "c"]
    with pytest.raises(StopAsyncIteration):
        loop.run_until_complete(anext(gens[0]))


def test_shutdown_reports_failures(loop: Loop, errors: list[dict[str, Any]]) -> None:
    """S11.4, S11.5: all are closed, whatever one of them raises."""
    closed: list[str] = []

    async def main() -> Any:
        bad, good = failing(), counting(closed)
        await anext(bad)
        await anext(good)
        await loop.shutdown_asyncgens()
        return bad

    bad = loop.run_until_complete(main())
    (context,) = errors
    text = f"an error occurred during closing of asynchronous generator {bad!r}"
    assert context["message"] == text
    assert isinstance(context["exception"], ZeroDivisionError)
    assert context["asyncgen"] is bad
    assert closed == ["gen"]


def test_shutdown_without_generators(loop: Loop) -> None:
    """S11.6: it does not even yield."""
    coro = loop.shutdown_asyncgens()
    with pytest.raises(StopIteration):
        coro.send(None)


def test_first_iteration_after_shutdown(loop: Loop) -> None:
    """S11.2: a warning, but it is remembered and closed at the next shutdown."""
    closed: list[str] = []

    async def main() -> None:
        await loop.shutdown_asyncgens()
        gen = counting(closed)
        text = (
            rf"asynchronous generator {re.escape(repr(gen))} "
            r"was scheduled after loop\.shutdown_asyncgens\(\) call"
        )
        with pytest.warns(ResourceWarning, match=f"^{text}$") as caught:
            await anext(gen)
        assert caught[0].source == loop
        await loop.shutdown_asyncgens()

    loop.run_until_complete(main())
    assert closed == ["gen"]


def test_finaliser_closes_in_the_loop(loop: Loop) -> None:
    """S11.3."""
    closed: list[str] = []

    async def main() -> None:
        gen = counting(closed)
        await anext(gen)
        del gen
        gc.collect()
        while not closed:
            await asyncio.sleep(0.001)

    loop.run_until_complete(asyncio.wait_for(main(), 5))
    assert closed == ["gen"]


def test_finaliser_in_another_thread(loop: Loop) -> None:
    """S11.3: thread-safely."""
    closed: list[str] = []
    box: list[Any] = []

    async def main() -> None:
        gen = counting(closed)
        await anext(gen)
        box.append(gen)

    loop.run_until_complete(main())
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    until(loop, lambda: bool(closed))


def test_finaliser_after_close(loop: Loop) -> None:
    """S11.3: nothing is scheduled on a closed loop."""
    closed: list[str] = []

    async def main() -> Any:
        gen = counting(closed)
        await anext(gen)
        return gen

    gen = loop.run_until_complete(main())
    loop.close()
    del gen
    gc.collect()
    assert closed == []


def test_collected_generators_are_forgotten(loop: Loop) -> None:
    """S11.2, S11.3: shutdown does not see them."""
    closed: list[str] = []

    async def main() -> None:
        gen = counting(closed)
        async for n in gen:
            if n == 2:
                break
        await gen.aclose()
        del gen
        await loop.shutdown_asyncgens()

    loop.run_until_complete(main())
    assert closed == ["gen"]


def test_generators_of_no_loop_are_left_alone(loop: Loop) -> None:
    """S11.7."""
    closed: list[str] = []
    gen: Any = counting(closed)
    with pytest.raises(StopIteration):
        gen.asend(None).send(None)

    async def main() -> None:
        assert await anext(gen) == 1
        await loop.shutdown_asyncgens()
        assert await anext(gen) == 2
        await gen.aclose()

    loop.run_until_complete(main())
    assert closed == ["gen"]
