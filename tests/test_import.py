"""S1: what `import ferroloop` costs every program, and what comes with the first use."""

import importlib
import inspect
import os
import textwrap
from collections.abc import Callable

import pytest
from support.gates import FREE_THREADED, ferroloop_only
from support.scripts import Script, run_python

RunScript = Callable[..., Script]
ours = ferroloop_only("how ferroloop is put together", "S1")

# What every loop needs. Whoever adds a module here makes every program wait for it.
EAGER = {
    "ferroloop",
    "ferroloop._asyncgens",
    "ferroloop._compat",
    "ferroloop._debug",
    "ferroloop._environment",
    "ferroloop._errors",
    "ferroloop._executor",
    "ferroloop._ferroloop",
    "ferroloop._finalize",
    "ferroloop._later",
    "ferroloop._loop",
    "ferroloop._run",
    "ferroloop._runner",
    "ferroloop._signals",
    "ferroloop._spin",
    "ferroloop._tasks",
    "ferroloop._tls_engine",
}


@pytest.fixture
def run_fresh(loop_kind: str) -> RunScript:
    """Run code in a fresh interpreter that has imported asyncio, and could import ferroloop."""
    place = os.path.dirname(importlib.import_module("ferroloop").__path__[0])
    start = f"import asyncio, inspect, sys; sys.path.insert(0, {place!r}); before = set(sys.modules)\n"
    return lambda code: run_python(start + textwrap.dedent(code))


@ours
def test_what_is_imported(run_fresh: RunScript) -> None:
    """S1.2: by the import, and by a run: nothing that asyncio has not imported itself."""
    found = run_fresh(
        """
        import ferroloop
        print(*set(sys.modules) - before)
        ferroloop.run(asyncio.sleep(0.001))
        print(*set(sys.modules) - before)
        """
    )
    for line in found.out.splitlines():
        assert set(line.split()) - {"__future__"} == EAGER


@ours
@pytest.mark.skipif(not FREE_THREADED, reason="this Python has a GIL in any case")
def test_the_gil_stays_off(run_fresh: RunScript) -> None:
    """S1.1, S58.1: the import does not switch it on."""
    run_fresh("import ferroloop; assert not sys._is_gil_enabled()")


@ours
def test_nothing_imports_typing(run_fresh: RunScript) -> None:
    """S1.8: no operation does: it takes longer than all of ferroloop."""
    run_fresh(
        """
        import ferroloop
        inspect.getmembers(ferroloop.EventLoop)
        for name in ferroloop.__all__:
            getattr(ferroloop, name)
        imported = set(sys.modules) - before
        assert {"ferroloop._connect", "ferroloop._policy", "ferroloop._tls", "ferroloop._watchers"} < imported
        assert "typing" not in imported
        """
    )


@ours
def test_a_server_and_a_client_import_no_tls(run_script: RunScript) -> None:
    """S22.1: that is for those who ask for it."""
    run_script(
        """
        import asyncio
        import ferroloop

        async def main():
            server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
            before = set(sys.modules)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
            server.close()
            assert "ferroloop._serve" in before and "ferroloop._connect" in sys.modules
            assert "ferroloop._tls" not in sys.modules

        ferroloop.run(main())
        """
    )


@ours
def test_methods_that_come_later_are_methods(loop_class: type) -> None:
    """S1.6: functions under their names, however they are looked up, and the same ones each time."""
    loop = loop_class()
    try:
        for name in ("create_server", "sock_sendall", "_make_subprocess_transport"):
            assert inspect.iscoroutinefunction(getattr(loop, name))
            assert inspect.isfunction(getattr(loop_class, name))
            assert vars(loop_class)[name] is getattr(loop_class, name)
            assert getattr(loop, name).__func__ is getattr(loop_class, name)
            assert getattr(loop_class, name).__name__ == name
    finally:
        loop.close()


@ours
def test_first_use_may_be_anywhere(run_script: RunScript) -> None:
    """S1.8: by a subclass, beside an attribute of the instance, in several threads at once, in a forked child."""
    run_script(
        """
        import asyncio, os, threading
        import ferroloop

        class Sub(ferroloop.EventLoop):
            async def create_datagram_endpoint(self, *args, **kwargs):
                return await super().create_datagram_endpoint(*args, **kwargs)

        loop = Sub()
        loop.getnameinfo = "the instance's own"
        assert loop.getnameinfo == "the instance's own"
        transport, _ = loop.run_until_complete(
            loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
        )
        transport.close()

        barrier, found = threading.Barrier(8), []
        def look():
            barrier.wait()
            found.append(loop.connect_read_pipe.__func__)
        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8 and len(set(found)) == 1

        child = os.fork()
        if not child:
            own = ferroloop.new_event_loop()
            server = own.run_until_complete(own.create_server(asyncio.Protocol, "127.0.0.1", 0))
            server.close()
            own.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        """
    )


@ours
def test_names_of_the_package(run_script: RunScript) -> None:
    """S1.3, S1.5: those that come later are listed, can be had by `import *` and pickled; others do not exist."""
    run_script(
        """
        import pickle
        import ferroloop
        assert set(ferroloop.__all__) <= set(dir(ferroloop))
        assert "ferroloop._watchers" not in sys.modules
        kind = pickle.loads(pickle.dumps(ferroloop.PidfdChildWatcher))
        assert kind is ferroloop.PidfdChildWatcher
        assert repr(kind) == "<class 'ferroloop.PidfdChildWatcher'>"
        assert "ferroloop._policy" not in sys.modules
        names = {}
        exec("from ferroloop import *", names)
        assert set(ferroloop.__all__) <= set(names)
        assert repr(ferroloop.EventLoopPolicy) == "<class 'ferroloop.EventLoopPolicy'>"
        try:
            ferroloop.Proactor
        except AttributeError as exc:
            assert str(exc) == "module 'ferroloop' has no attribute 'Proactor'"
        else:
            raise AssertionError
        """
    )
