"""Servers, frameworks and tools that are installed beside ferroloop, and how each is told to use it."""

import importlib.metadata
from collections.abc import Iterator

from .finding import Finding, Mark

# By the name of the distribution. The documentation has a page with more words on each.
COMMANDS = {
    "uvicorn": "uvicorn --loop ferroloop:new_event_loop app:app",
    "gunicorn": "gunicorn -k ferroloop.contrib.gunicorn.ASGIWorker app:app",
    "granian": "python -m ferroloop.contrib.granian --interface asgi app:app",
    "hypercorn": "python -m ferroloop.contrib.hypercorn app:app",
    "aiohttp": "python -m ferroloop -m aiohttp.web app:init, or ferroloop.run(main())",
    "pytest-asyncio": 'pytest_plugins = ["ferroloop.contrib.pytest"]',
    "anyio": 'anyio.run(main, backend_options={"loop_factory": ferroloop.new_event_loop})',
    "distributed": "python -m ferroloop cluster.py, and ferroloop.install() in it for worker processes",
    "ray": 'python -m ferroloop actors.py, with ray.init(runtime_env={"py_executable": "python -m ferroloop"})',
    "ipykernel": "python -m ferroloop -m ipykernel_launcher -f {connection_file}, as a kernel of its own",
}


def findings() -> Iterator[Finding]:
    """Those that are installed, then the way that fits any program."""
    for name, command in COMMANDS.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        yield Finding(f"{f'{name} {version}':<22}{command}", Mark.OK)
    yield Finding(f"{'any program':<22}python -m ferroloop app.py, python -m ferroloop -m package.module", Mark.OK)
