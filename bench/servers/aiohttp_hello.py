"""The same answer by an aiohttp application."""

import socket

from servers.hello import BODY

# The runner lives as long as the process.
_runners: list[object] = []


async def start(sock: socket.socket) -> None:
    """Serve on `sock`."""
    # Imported here: the other servers' memory is measured without it.
    from aiohttp import web

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=BODY)

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    _runners.append(runner)
