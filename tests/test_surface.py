"""S1, S50, S56: the package's names and the loop as other code meets it."""

import asyncio
import importlib
import logging
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.gates import ferroloop_only, since
from support.log import LogList
from support.loops import Loop, NewLoop
from support.scripts import Script

RunScript = Callable[..., Script]
package = ferroloop_only("a name of ferroloop", "S1")


@pytest.fixture
def ferroloop(loop_kind: str) -> Any:
    """The package."""
    return importlib.import_module("ferroloop")


@package
def test_windows(run_script: RunScript) -> None:
    """S1.1."""
    run_script(
        """
        import asyncio
        for name in [name for name in sys.modules if name.startswith("ferroloop")]:
            del sys.modules[name]
        sys.platform = "win32"
        try:
            import ferroloop
        except ImportError as exc:
            assert str(exc) == "Signals are not really supported on Windows", exc
        else:
            raise AssertionError
        """
    )


@package
def test_new_event_loop(ferroloop: Any) -> None:
    """S1.2, S44.8."""
    with pytest.raises(TypeError):
        ferroloop.new_event_loop(None)
    first, second = ferroloop.new_event_loop(), ferroloop.new_event_loop()
    assert first is not second
    for loop in (first, second):
        assert type(loop) is ferroloop.EventLoop
        assert not loop.is_running()
        assert not loop.is_closed()
        loop.close()


@package
def test_names(ferroloop: Any) -> None:
    """S1.3, S1.4."""
    assert ferroloop.SelectorEventLoop is ferroloop.EventLoop
    for name in ("DefaultEventLoopPolicy", "EventLoopPolicy", "install", "run", "__version__"):
        assert hasattr(ferroloop, name)
    for name in ferroloop.__all__:
        assert hasattr(ferroloop, name)
    assert not hasattr(ferroloop, "BaseEventLoop")


@package
def test_no_class_of_asyncio_is_inherited(ferroloop: Any) -> None:
    """S1.6: the loop is ours, under the abstract class alone."""
    modules = {cls.__module__ for cls in ferroloop.EventLoop.__mro__}
    assert {name for name in modules if name.startswith("asyncio")} == {"asyncio.events"}


def test_abstract_class(loop: Loop) -> None:
    """S1.6."""
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert asyncio.AbstractEventLoop in type(loop).__mro__
    asyncio.set_event_loop(loop)
    asyncio.set_event_loop(None)


def test_selector_argument(loop_class: type) -> None:
    """S1.7: None is accepted."""
    loop_class(None).close()
    loop_class(selector=None).close()


@package
def test_selectors_are_refused(ferroloop: Any) -> None:
    """S1.7."""
    import selectors

    with selectors.DefaultSelector() as selector, pytest.raises(TypeError):
        ferroloop.EventLoop(selector)


def test_instances(loop_class: type) -> None:
    """S1.8: subclassed, with attributes, weakly referenced."""

    class Sub(loop_class):
        def __init__(self, extra: int) -> None:
            super().__init__()
            self.extra = extra

    loop = Sub(5)
    assert loop.extra == 5
    loop.other = 6
    assert vars(loop)["other"] == 6
    assert weakref.ref(loop)() is loop
    loop.close()


def test_overridden_time_and_schedulers(loop_class: type) -> None:
    """S1.9: sleep goes through the overrides."""
    calls: list[str] = []

    class Overriding(loop_class):
        def time(self) -> float:
            calls.append("time")
            return super().time()

        def call_later(self, *args: Any, **kwargs: Any) -> Any:
            calls.append("call_later")
            return super().call_later(*args, **kwargs)

        def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> Any:
            calls.append("call_soon_threadsafe")
            return super().call_soon_threadsafe(*args, **kwargs)

    async def main() -> None:
        await asyncio.sleep(0.001)
        await asyncio.to_thread(int)

    loop = Overriding()
    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert {"time", "call_later", "call_soon_threadsafe"} <= set(calls)


@pytest.mark.parametrize("debug", [None, True])
def test_runner(new_loop: NewLoop, debug: bool | None) -> None:
    """S1.10, S50.1: several runs, one loop, one context."""
    with asyncio.Runner(loop_factory=new_loop, debug=debug) as runner:
        loop = runner.get_loop()
        assert loop.get_debug() is bool(debug)
        assert runner.run(asyncio.sleep(0, 1)) == 1
        assert runner.run(asyncio.sleep(0, 2)) == 2
    assert loop.is_closed()


@since(3, 12)
def test_asyncio_run(new_loop: NewLoop) -> None:
    """S1.10, S50.1, S0.34."""
    assert asyncio.run(asyncio.sleep(0, 3), loop_factory=new_loop) == 3


@package
def test_ferroloop_run(ferroloop: Any) -> None:
    """S50.2: on every Python."""

    async def main() -> Any:
        return asyncio.get_running_loop()

    loop = ferroloop.run(main())
    assert type(loop) is ferroloop.EventLoop
    assert loop.is_closed()
    assert ferroloop.run(main(), debug=True).get_debug()
    coro = main()
    with pytest.raises(TypeError):
        ferroloop.run(coro, True)
    coro.close()
    with pytest.raises(ZeroDivisionError):
        ferroloop.run(asyncio.to_thread(lambda: 1 // 0))


@package
def test_ferroloop_run_inside_a_loop(ferroloop: Any) -> None:
    """S50.2."""

    async def main() -> None:
        coro = asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
            ferroloop.run(coro)
        coro.close()

    ferroloop.run(main())


def test_running_loop_is_the_loop(loop: Loop) -> None:
    """S1.11: the same object that tasks and futures hold."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        assert task.get_loop() is loop
        assert asyncio.get_running_loop() is loop
        assert asyncio.get_event_loop() is loop
        assert loop.create_future().get_loop() is loop
        assert asyncio.Future().get_loop() is loop
        await asyncio.wait_for(asyncio.sleep(0), 1)

    loop.run_until_complete(main())


def test_creation_is_logged(new_loop: NewLoop, logged: LogList) -> None:
    """S1.13, S0.8."""
    new_loop()
    (text,) = logged.texts(logging.DEBUG)
    assert text.startswith("Using selector: ")


@package
def test_start_is_logged(new_loop: NewLoop, logged: LogList, ferroloop: Any) -> None:
    """S1.13: one line names loop, version and backend when a loop starts."""
    loop = new_loop()
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    texts = [t for t in logged.texts(logging.DEBUG) if ferroloop.__version__ in t]
    assert len(texts) == 1
    assert texts[0].startswith("ferroloop ")
    assert "epoll" in texts[0] or "kqueue" in texts[0]


def test_no_loop_parameter(loop: Loop) -> None:
    """S56.1."""
    with pytest.raises(TypeError):
        asyncio.Queue(loop=loop)
