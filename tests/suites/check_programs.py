"""Programs that choose their loop by fixed names, run by the recipes of docs/compatibility.md and docs/programs.md.

Each is asked from inside which loop it runs on. `make suites` installs them and runs this file.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

FERROLOOP = "ferroloop.EventLoop"
LAUNCHER = [sys.executable, "-m", "ferroloop", "-m"]
SECONDS = 60

APP = """
    import asyncio

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        kind = type(asyncio.get_running_loop())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"{kind.__module__}.{kind.__qualname__}".encode()})
"""
HYPERCORN = """
    import ferroloop, sys
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from app import app

    config = Config()
    config.bind = [sys.argv[1]]
    ferroloop.run(serve(app, config))
"""
AIOHTTP = """
    import asyncio, ferroloop, sys
    from aiohttp import web

    async def which(request):
        kind = type(asyncio.get_running_loop())
        return web.Response(text=f"{kind.__module__}.{kind.__qualname__}")

    app = web.Application()
    app.router.add_get("/", which)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), loop=ferroloop.new_event_loop())
"""
SERVERS = {
    "uvicorn": [sys.executable, "-m", "uvicorn", "--loop", "ferroloop:new_event_loop", "--port", "{port}", "app:app"],
    "uvicorn, two workers": [
        *[sys.executable, "-m", "uvicorn", "--loop", "ferroloop:new_event_loop", "--workers", "2"],
        *["--port", "{port}", "app:app"],
    ],
    "uvicorn, launched": [*LAUNCHER, "uvicorn", "--port", "{port}", "app:app"],
    "gunicorn asgi": [*LAUNCHER, "gunicorn", "-k", "asgi", "-b", "127.0.0.1:{port}", "app:app"],
    "gunicorn uvicorn": [
        *LAUNCHER,
        *["gunicorn", "-k", "uvicorn.workers.UvicornWorker", "-b", "127.0.0.1:{port}", "app:app"],
    ],
    "hypercorn": [*LAUNCHER, "hypercorn", "-w", "0", "-b", "127.0.0.1:{port}", "app:app"],
    "hypercorn.asyncio.serve": [sys.executable, "hypercorn_program.py", "127.0.0.1:{port}"],
    "hypercorn, two workers": [
        *[sys.executable, "-m", "ferroloop.contrib.hypercorn"],
        *["-w", "2", "-b", "127.0.0.1:{port}", "app:app"],
    ],
    "granian": [
        *[sys.executable, "-m", "ferroloop.contrib.granian"],
        *["--interface", "asgi", "--port", "{port}", "app:app"],
    ],
    "aiohttp": [sys.executable, "aiohttp_program.py", "{port}"],
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with the programs in it."""
    for name, code in [
        ("app.py", APP),
        ("hypercorn_program.py", HYPERCORN),
        ("aiohttp_program.py", AIOHTTP),
    ]:
        (tmp_path / name).write_text(textwrap.dedent(code))
    return tmp_path


@contextlib.contextmanager
def running(command: list[str], place: Path) -> Iterator[Path]:
    """The program while it runs, and the file of what it says. It is interrupted in the end."""
    said = place / "output"
    with said.open("wb") as output:
        environment = os.environ | {"PYTHONPATH": f"{place}:{os.environ.get('PYTHONPATH', '')}"}
        process = subprocess.Popen(
            command, cwd=place, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield said
        os.killpg(process.pid, signal.SIGINT)
        process.wait(SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def ask(port: int, said: Path) -> str:
    """What the server answers once it is there."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=SECONDS) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                pytest.fail(said.read_text(), pytrace=False)
            time.sleep(0.1)


@pytest.mark.parametrize("name", SERVERS)
def test_server(name: str, place: Path) -> None:
    """The request handler runs on ferroloop."""
    port = free_port()
    with running([part.format(port=port) for part in SERVERS[name]], place) as said:
        assert ask(port, said) == FERROLOOP


def finish(command: list[str], place: Path) -> str:
    """What a program says until its end, which has to be a good one."""
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dask(place: Path) -> None:
    """Client, scheduler and worker of a LocalCluster in this process."""
    (place / "program.py").write_text(
        textwrap.dedent("""
        import distributed

        def kinds():
            loops = distributed.get_worker().loop, distributed.get_client().loop
            return {f"{type(loop.asyncio_loop).__module__}" for loop in loops}

        if __name__ == "__main__":
            with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
                with distributed.Client(cluster) as client:
                    print(client.submit(kinds).result(), client.submit(sum, range(1000)).result())
        """)
    )
    assert finish([sys.executable, "-m", "ferroloop", "program.py"], place) == "{'ferroloop'} 499500\n"


def test_ipython(place: Path) -> None:
    """%autoawait."""
    code = "import asyncio; await asyncio.sleep(0.01); print(type(asyncio.get_running_loop()))"
    assert f"<class '{FERROLOOP}'>" in finish([*LAUNCHER, "IPython", "--simple-prompt", "-c", code], place)


TEST = """
    import asyncio
    import pytest

    def check():
        assert type(asyncio.get_running_loop()).__module__ == "ferroloop"

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.mark.{plugin}
    async def test():
        check()
"""
HOOK = """
    import ferroloop

    def pytest_asyncio_loop_factories(config, item):
        return {"ferroloop": ferroloop.new_event_loop}
"""


@pytest.mark.parametrize("plugin", ["asyncio", "anyio"])
def test_pytest(place: Path, plugin: str) -> None:
    """Launched."""
    (place / "test_it.py").write_text(textwrap.dedent(TEST.replace("{plugin}", plugin)))
    assert "1 passed" in finish([*LAUNCHER, "pytest", "-p", "no:cacheprovider", "test_it.py"], place)


def test_pytest_asyncio_hook(place: Path) -> None:
    """Not launched."""
    (place / "test_it.py").write_text(textwrap.dedent(TEST.replace("{plugin}", "asyncio")))
    (place / "conftest.py").write_text(textwrap.dedent(HOOK))
    assert "1 passed" in finish([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_it.py"], place)


BLOCKBUSTER = """
    import asyncio, os, ferroloop.contrib.blockbuster
    from blockbuster import BlockBuster

    async def main():
        for _ in range(2):  # the second time there is a stale file
            server = await asyncio.start_unix_server(lambda _, writer: writer.close(), "socket")
            _, writer = await asyncio.open_unix_connection("socket")
            writer.close()
            server.close()
        process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1, cwd="/")
        print(*await process.communicate(b"data"))
        try:
            os.stat("/")
        except Exception as exc:
            print(exc)

    blockbuster = BlockBuster()
    ferroloop.contrib.blockbuster.allow(blockbuster)
    blockbuster.activate()
    ferroloop.run(main())
"""


def test_blockbuster(place: Path) -> None:
    """The program's own blocking calls are found, those that a loop has to make are not."""
    (place / "program.py").write_text(textwrap.dedent(BLOCKBUSTER))
    said = finish([sys.executable, "program.py"], place)
    assert said == "b'data' None\nBlocking call to os.stat\n"


AIOMONITOR = """
    import asyncio, aiomonitor, ferroloop

    async def main():
        loop = asyncio.get_running_loop()
        with aiomonitor.start_monitor(loop, hook_task_factory=True, port=0, webui_port=0) as monitor:
            task = asyncio.create_task(asyncio.sleep(60), name="watched")
            await asyncio.sleep(0)
            names = [str(info) for info in monitor.format_running_task_list("", False)]
            print(any("watched" in name for name in names))
            task.cancel()

    ferroloop.run(main())
"""


def test_aiomonitor(place: Path) -> None:
    """Its task factory and its list of tasks."""
    (place / "program.py").write_text(textwrap.dedent(AIOMONITOR))
    assert finish([sys.executable, "program.py"], place) == "True\n"


def test_anyio(place: Path) -> None:
    """A loop factory for its backend; its worker threads are told to end with the root task, which it has to find."""
    (place / "program.py").write_text(
        textwrap.dedent("""
        import asyncio, anyio, ferroloop, threading
        from anyio import to_thread

        async def main():
            await to_thread.run_sync(int)
            print(type(asyncio.get_running_loop()).__module__)

        anyio.run(main, backend_options={"loop_factory": ferroloop.new_event_loop})
        for thread in threading.enumerate()[1:]:
            thread.join(30)
        print(threading.active_count())
        """)
    )
    assert finish([sys.executable, "program.py"], place) == "ferroloop\n1\n"
