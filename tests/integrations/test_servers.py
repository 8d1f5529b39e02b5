"""Servers told by ferroloop.contrib or by an option to use ferroloop: their answers, and a quiet end."""

import json
import signal
import sys

import pytest
from programs import launch
from support.served import ask, free_port

# One worker: gunicorn's may overlook a SIGTERM that comes while they start, and two are not known to have started.
GUNICORN = ["-m", "gunicorn", "--workers", "1", "--no-control-socket", "--bind"]
SERVERS = {
    "gunicorn": [*GUNICORN, "{address}", "-k", "ferroloop.contrib.gunicorn.ASGIWorker", "asgi:app"],
    "gunicorn and aiohttp": [
        *GUNICORN,
        "{address}",
        "-k",
        "ferroloop.contrib.aiohttp.GunicornWebWorker",
        "web_app:app",
    ],
    "granian": [
        *["-m", "ferroloop.contrib.granian", "--interface", "asgi", "--workers", "2", "--port", "{port}"],
        "asgi:app",
    ],
    "hypercorn": ["-m", "ferroloop.contrib.hypercorn", "--workers", "2", "--bind", "{address}", "asgi:app"],
    "uvicorn": [
        *["-m", "uvicorn", "--loop", "ferroloop:new_event_loop", "--workers", "2", "--port", "{port}"],
        "asgi:app",
    ],
}


@pytest.mark.parametrize("name", SERVERS)
def test_server(name: str) -> None:
    port = free_port()
    arguments = [part.format(port=port, address=f"127.0.0.1:{port}") for part in SERVERS[name]]
    with launch.start([sys.executable, *arguments]) as server:
        assert [json.loads(ask(port, "/loop")) for _ in range(10)] == [{"loop": launch.FERROLOOP}] * 10
        status, log = server.end(signal.SIGTERM)
    assert status == 0, log
    assert "Traceback" not in log
