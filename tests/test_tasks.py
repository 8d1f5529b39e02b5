"""S10, S51: futures, tasks and task factories."""

import asyncio
import contextvars
import gc
import re
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import before, ferroloop_only, since
from support.loops import Loop
from support.turns import turn

Options = dict[str, Any]
number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)

# S51.2: which call contract create_task has with a factory.
PASSES_ALL = sys.version_info >= (3, 14) or sys.version_info[:3] == (3, 13, 3)


async def value(result: object = None) -> object:
    """A coroutine that ends at once."""
    return result


def test_create_future(loop: Loop) -> None:
    """S10.1."""
    future = loop.create_future()
    assert type(future) is asyncio.Future
    assert future.get_loop() is loop
    assert not future.done()


def test_create_task(loop: Loop) -> None:
    """S10.2: scheduled with call_soon, in turn."""
    seen: list[str] = []

    async def main() -> None:
        seen.append("task")

    loop.call_soon(seen.append, "before")
    task = loop.create_task(main())
    loop.call_soon(seen.append, "after")
    assert type(task) is asyncio.Task
    assert task.get_loop() is loop
    turn(loop)
    assert seen == ["before", "task", "after"]


def test_create_task_names(loop: Loop) -> None:
    """S10.4."""
    named, unnamed = loop.create_task(value(), name="Ada"), loop.create_task(value(), name=None)
    assert named.get_name() == "Ada"
    assert re.fullmatch(r"Task-\d+", unnamed.get_name())
    turn(loop)


def test_create_task_context(loop: Loop) -> None:
    """S10.4: the context is used itself."""
    context = contextvars.copy_context()

    async def main() -> None:
        number.set(6)

    loop.run_until_complete(loop.create_task(main(), context=context))
    assert context[number] == 6


def test_create_task_takes_keywords_only(loop: Loop) -> None:
    """S10.4."""
    coro = value()
    with pytest.raises(TypeError):
        loop.create_task(coro, "name")
    with pytest.raises(TypeError):
        loop.create_task(coro, nonsense=1)
    coro.close()


def test_create_task_wants_a_coroutine(loop: Loop) -> None:
    """S10.2."""
    with pytest.raises(TypeError, match=r"a coroutine was expected, got 3"):
        loop.create_task(3)


@since(3, 14)
def test_eager_start(loop: Loop) -> None:
    """S10.4, S51.1: the task may be over inside create_task."""

    async def main() -> tuple[bool, bool]:
        eager = loop.create_task(value(), eager_start=True)
        lazy = loop.create_task(value(), eager_start=False)
        await lazy
        return eager.done(), lazy.done()

    assert loop.run_until_complete(main()) == (True, True)


@since(3, 15)
def test_context_type(loop: Loop) -> None:
    """S51.3."""
    coro = value()
    with pytest.raises(TypeError, match=r"^a contextvars\.Context was expected, got int$"):
        loop.create_task(coro, context=3)
    coro.close()


@pytest.mark.parametrize("wrong", [1, "factory", object()])
def test_factories_are_callable_or_none(loop: Loop, wrong: object) -> None:
    """S10.6."""
    with pytest.raises(TypeError, match=r"^task factory must be a callable or None$"):
        loop.set_task_factory(wrong)


def test_get_task_factory(loop: Loop) -> None:
    """S10: set, get, reset."""

    def factory(loop: Loop, coro: Any, **kwargs: Any) -> Any:
        return asyncio.Task(coro, loop=loop, **kwargs)

    assert loop.get_task_factory() is None
    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None


class Made:
    """What a factory made, when it is not a task; it may have a name."""

    def __init__(self, coro: Any, seen: Options) -> None:
        coro.close()
        self.seen = seen
        self.name: str | None = None

    def set_name(self, name: str) -> None:
        """Remember it, as Task does."""
        self.name = name


def two(loop: Loop, coro: Any) -> Made:
    """The oldest signature."""
    return Made(coro, {})


def with_context(loop: Loop, coro: Any, context: Any = None) -> Made:
    """3.11's signature."""
    return Made(coro, {"context": context})


def with_name_and_context(loop: Loop, coro: Any, *, name: Any = None, context: Any = None) -> Made:
    """What Task took in 3.11."""
    return Made(coro, {"name": name, "context": context})


def with_all(loop: Loop, coro: Any, *, name: Any = None, context: Any = None, eager_start: Any = "unset") -> Made:
    """What Task takes in 3.14."""
    return Made(coro, {"name": name, "context": context, "eager_start": eager_start})


def with_context_and_more(loop: Loop, coro: Any, *, context: Any = None, **others: Any) -> Made:
    """What looks at one keyword and passes the others on."""
    return Made(coro, {"context": context, **others})


def anything(loop: Loop, coro: Any, **kwargs: Any) -> Made:
    """The recommended signature: shows what is passed, and what is not."""
    return Made(coro, kwargs)


FACTORIES: dict[str, tuple[Callable[..., Made], set[str]]] = {
    "two": (two, set()),
    "with_context": (with_context, {"context"}),
    "with_name_and_context": (with_name_and_context, {"name", "context"}),
    "with_all": (with_all, {"name", "context", "eager_start"}),
    "with_context_and_more": (with_context_and_more, {"name", "context", "eager_start"}),
    "anything": (anything, {"name", "context", "eager_start"}),
}
CONTEXT = contextvars.copy_context()
OPTIONS: list[Options] = [
    {},
    {"name": "Ada"},
    {"context": CONTEXT},
    {"name": "Ada", "context": CONTEXT},
]


def passed_on(options: Options) -> Options:
    """What create_task gives to the factory (S10.5, S51.2)."""
    if PASSES_ALL:
        return options
    return {key: val for key, val in options.items() if key != "name"}


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "none")
@pytest.mark.parametrize("name", FACTORIES)
def test_factory_signatures(loop: Loop, name: str, options: Options) -> None:
    """S10.5, S51.2: nothing is injected, nothing is swallowed."""
    factory, accepted = FACTORIES[name]
    loop.set_task_factory(factory)
    given = passed_on(options)
    coro = value()
    if not given.keys() <= accepted:
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            loop.create_task(coro, **options)
        coro.close()
        return
    made: Any = loop.create_task(coro, **options)
    assert isinstance(made, Made), "the factory's result is returned untouched"
    if factory is anything:
        assert made.seen == given
    else:
        assert given.items() <= made.seen.items()
    if not PASSES_ALL:
        assert made.name == options.get("name")


@since(3, 14)
def test_eager_start_reaches_the_factory(loop: Loop) -> None:
    """S10.5: as given, and only if given."""
    loop.set_task_factory(anything)
    made: Any = loop.create_task(value(), eager_start=False)
    assert made.seen == {"eager_start": False}


@before(3, 13, 3)
def test_no_extra_keywords(loop: Loop) -> None:
    """S10.4, S51.2."""
    loop.set_task_factory(anything)
    coro = value()
    with pytest.raises(TypeError):
        loop.create_task(coro, eager_start=False)
    coro.close()


def test_factory_gets_loop_and_coroutine(loop: Loop) -> None:
    """S10.5."""
    seen: list[tuple[object, object]] = []

    def factory(given: Loop, coro: Any, **kwargs: Any) -> Any:
        seen.append((given, coro))
        return asyncio.Task(coro, loop=given, **kwargs)

    loop.set_task_factory(factory)
    coro = value(3)
    task = loop.create_task(coro)
    assert loop.run_until_complete(task) == 3
    assert seen[0] == (loop, coro)


def test_factory_on_a_closed_loop(loop: Loop) -> None:
    """S2.23: the closed check comes first."""
    loop.set_task_factory(anything)
    loop.close()
    coro = value()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.create_task(coro)
    coro.close()


@since(3, 12)
def test_eager_task_factory(loop: Loop) -> None:
    """S10.8, S51.1: a task may finish inside create_task, or start there and go on."""
    loop.set_task_factory(asyncio.eager_task_factory)

    async def halfway(seen: list[str]) -> None:
        seen.append("start")
        await asyncio.sleep(0)
        seen.append("end")

    async def main() -> list[str]:
        seen: list[str] = []
        assert asyncio.create_task(value()).done()
        assert asyncio.create_task(value(), name="Ada").get_name() == "Ada"
        assert asyncio.create_task(value(), context=contextvars.copy_context()).done()
        task = asyncio.create_task(halfway(seen))
        assert seen == ["start"]
        assert not task.done()
        await task
        return seen

    assert loop.run_until_complete(main()) == ["start", "end"]


@since(3, 12)
def test_eager_tasks_call_the_loop(loop: Loop) -> None:
    """S51.1: re-entrantly, from inside create_task."""
    loop.set_task_factory(asyncio.eager_task_factory)
    seen: list[str] = []

    async def inner() -> None:
        loop.call_soon(seen.append, "soon")
        loop.call_later(0, seen.append, "later")
        assert asyncio.current_task() is not None
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))

    async def main() -> None:
        await asyncio.gather(inner(), inner())
        await asyncio.sleep(0.001)

    loop.run_until_complete(main())
    assert sorted(seen) == ["later", "later", "soon", "soon"]


def test_current_task_and_all_tasks(loop: Loop) -> None:
    """S51.4."""

    async def main() -> None:
        other = loop.create_task(asyncio.sleep(0.001))
        me = asyncio.current_task()
        assert me is not None
        assert asyncio.all_tasks() == {me, other}
        await other
        assert asyncio.all_tasks() == {me}

    loop.run_until_complete(main())
    assert asyncio.all_tasks(loop) == set()
    assert asyncio.current_task(loop) is None


@ferroloop_only("the frame of create_task kept the task", "S10.7", sys.version_info < (3, 14))
def test_failing_task_makes_no_cycle(loop: Loop) -> None:
    """S10.7: a task that fails inside create_task is freed by reference count."""
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    gc.collect()
    gc.disable()
    try:

        class Failure(Exception):
            pass

        async def fail() -> None:
            raise Failure

        async def main() -> "weakref.ref[Failure]":
            task = loop.create_task(fail())
            try:
                await task
            except Failure as exc:
                return weakref.ref(exc)
            finally:
                del task
            raise AssertionError

        assert loop.run_until_complete(main())() is None
    finally:
        gc.enable()


def test_overridden_create_future(loop_class: type) -> None:
    """S1.9: the loop makes its futures by the override."""
    made: list[object] = []

    class Overriding(loop_class):
        def create_future(self) -> Any:
            made.append(super().create_future())
            return made[-1]

    async def main() -> None:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        server.close()
        await asyncio.sleep(0.001)

    loop = Overriding()
    loop.run_until_complete(main())
    loop.close()
    assert made


def test_overridden_create_task(loop_class: type) -> None:
    """S1.9."""
    made: list[object] = []

    class Overriding(loop_class):
        def create_task(self, coro: Any, **kwargs: Any) -> Any:
            made.append(super().create_task(coro, **kwargs))
            return made[-1]

    loop = Overriding()
    assert loop.run_until_complete(value(4)) == 4
    loop.close()
    assert len(made) == 1


def test_overridden_call_soon(loop_class: type) -> None:
    """S1.9: futures and tasks call the override."""
    calls: list[object] = []

    class Overriding(loop_class):
        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
            calls.append(callback)
            return super().call_soon(callback, *args, context=context)

    loop = Overriding()
    assert loop.run_until_complete(value(4)) == 4
    loop.close()
    assert len(calls) >= 2
