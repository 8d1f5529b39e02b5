"""aiohttp's server and client, unmodified, each on either loop."""

import signal

import pytest
from programs import launch

SERVERS = {
    "asyncio": (launch.STOCK, launch.ASYNCIO),
    "launcher": (launch.WAYS["launcher"], launch.FERROLOOP),
    "policy": (
        ["-c", "import asyncio, ferroloop, {name}; ferroloop.install(); {name}.main()"],
        launch.FERROLOOP,
    ),
}
CLIENTS = {"asyncio": (launch.STOCK, launch.ASYNCIO)} | {
    way: (launch.WAYS[way], launch.FERROLOOP) for way in ("run", "Runner", "launcher", "policy")
}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("client", CLIENTS)
def test_pages_and_visitor(server: str, client: str) -> None:
    way, server_loop = SERVERS[server]
    with launch.start(launch.command(way, "pages")) as pages:
        port = pages.read_until("listening on ")
        way, client_loop = CLIENTS[client]
        assert launch.run(way, "visitor", PAGES_PORT=port) == {
            "server loop": [server_loop],
            "upload": True,
            "count": sum(range(100)),
            "messages": 100,
            "loop": client_loop,
        }
        assert pages.end(signal.SIGINT) == (0, "goodbye\n")
