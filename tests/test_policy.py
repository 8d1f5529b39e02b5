"""S44, S50.3, S50.4: event loop policies, where Python has them."""

import asyncio
import importlib
import sys
import threading
import unittest
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import loops
from support.gates import before, ferroloop_only, since
from support.scripts import Script

pytestmark = [
    before(3, 16),
    pytest.mark.filterwarnings("ignore:.*olic.*deprecated:DeprecationWarning"),
]


@pytest.fixture
def policy(loop_kind: str) -> Iterator[Any]:
    """This half's policy, installed for the test."""
    if loop_kind == loops.ORACLE:
        made = asyncio.DefaultEventLoopPolicy()
    else:
        made = importlib.import_module("ferroloop").DefaultEventLoopPolicy()
    asyncio.set_event_loop_policy(made)
    yield made
    asyncio.set_event_loop_policy(None)


def test_makes_loops(policy: Any, loop_kind: str) -> None:
    """S44.1, S44.8, S50.1: without setting one."""
    loop = asyncio.new_event_loop()
    assert isinstance(loop, loops.loop_class(loop_kind))
    loop.close()
    if sys.version_info >= (3, 14):
        with pytest.raises(RuntimeError, match="There is no current event loop in thread"):
            policy.get_event_loop()


def test_asyncio_run(policy: Any, loop_kind: str) -> None:
    """S50.1: with no word of a factory."""

    async def main() -> Any:
        return asyncio.get_running_loop()

    loop: Any = asyncio.run(main())
    assert loop.is_closed()
    assert isinstance(loop, loops.loop_class(loop_kind))


def test_set_and_get(policy: Any) -> None:
    """S44.2, S44.3."""
    loop = policy.new_event_loop()
    policy.set_event_loop(loop)
    assert policy.get_event_loop() is loop
    policy.set_event_loop(None)
    with pytest.raises(RuntimeError, match=r"^There is no current event loop in thread '.*'\.$"):
        policy.get_event_loop()
    loop.close()


def test_per_thread(policy: Any) -> None:
    """S44.2, S44.3: other threads have none unless set."""
    caught: list[str] = []

    def in_thread() -> None:
        try:
            policy.get_event_loop()
        except RuntimeError as exc:
            caught.append(str(exc))

    loop = policy.new_event_loop()
    policy.set_event_loop(loop)
    thread = threading.Thread(target=in_thread, name="Ada")
    thread.start()
    thread.join()
    assert caught == ["There is no current event loop in thread 'Ada'."]
    policy.set_event_loop(None)
    loop.close()


@before(3, 14)
def test_main_thread_gets_one(policy: Any, loop_kind: str) -> None:
    """S44.2: made at the first request; from 3.12 with a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop = policy.get_event_loop()
    assert isinstance(loop, loops.loop_class(loop_kind))
    assert policy.get_event_loop() is loop
    policy.set_event_loop(None)
    loop.close()


@since(3, 14)
def test_main_thread_gets_none(policy: Any) -> None:
    """S44.2, S50.5."""
    with pytest.raises(RuntimeError, match="There is no current event loop in thread 'MainThread'"):
        policy.get_event_loop()


@pytest.mark.parametrize("wrong", [1, "loop", object()])
def test_only_loops_can_be_set(policy: Any, wrong: Any) -> None:
    """S44.3."""
    name = type(wrong).__name__
    text = rf"^loop must be an instance of AbstractEventLoop or None, not '{name}'$"
    with pytest.raises(TypeError, match=text):
        policy.set_event_loop(wrong)


def test_isolated_test_case(policy: Any, loop_kind: str) -> None:
    """S50.3."""
    seen: list[object] = []

    class Case(unittest.IsolatedAsyncioTestCase):
        async def test_loop(self) -> None:
            seen.append(asyncio.get_running_loop())

    result = unittest.TestResult()
    Case("test_loop").run(result)
    assert result.wasSuccessful()
    assert isinstance(seen[0], loops.loop_class(loop_kind))


@since(3, 13)
def test_loop_factory_of_a_test_case(loop_kind: str) -> None:
    """S50.3: the attribute."""
    seen: list[object] = []

    class Case(unittest.IsolatedAsyncioTestCase):
        loop_factory = staticmethod(loops.factory(loop_kind))

        async def test_loop(self) -> None:
            seen.append(asyncio.get_running_loop())

    result = unittest.TestResult()
    Case("test_loop").run(result)
    assert result.wasSuccessful()
    assert isinstance(seen[0], loops.loop_class(loop_kind))


@ferroloop_only("a function of ferroloop", "S44.1")
def test_install(run_script: Callable[..., Script]) -> None:
    """S44.1: by name, and with a deprecation where policies are deprecated."""
    script = run_script(
        """
        import asyncio, sys, warnings, ferroloop
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ferroloop.install()
        assert len(caught) == (sys.version_info >= (3, 14)), caught
        async def main():
            print(type(asyncio.get_running_loop()).__module__)
        asyncio.run(main())
        """
    )
    assert script.out.startswith("ferroloop")


@ferroloop_only("a module of ferroloop", "S50.4")
def test_import_touches_no_policy(run_script: Callable[..., Script]) -> None:
    """S50.4, S50.6, S56.3, S56.4, S57.1: no warning at import, nothing of asyncio is changed."""
    run_script(
        """
        import asyncio, asyncio.base_events, asyncio.events, asyncio.selector_events
        import asyncio.unix_events, asyncio.streams, asyncio.tasks
        modules = [m for name, m in sys.modules.items() if name.startswith("asyncio")]
        before = [dict(vars(m)) for m in modules]
        for name in [name for name in sys.modules if name.startswith("ferroloop")]:
            del sys.modules[name]
        import ferroloop
        ferroloop.EventLoopPolicy
        assert [dict(vars(m)) for m in modules] == before
        asyncio.SelectorEventLoop().close()
        async def main():
            return type(asyncio.get_running_loop())
        assert not asyncio.run(main()).__module__.startswith("ferroloop")
        """,
        "-W",
        "error",
    )
