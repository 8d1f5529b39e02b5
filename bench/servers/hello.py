"""Hello, world: an ASGI application under uvicorn with httptools."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping

BODY = "Hello, World!"

# The loop keeps only weak references to tasks.
_running: set[asyncio.Task[None]] = set()

_BODY = BODY.encode()
_START: Mapping[str, object] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", str(len(_BODY)).encode())],
}


async def application(scope: object, receive: object, send: Callable[[Mapping[str, object]], Awaitable[None]]) -> None:
    """Answer every request alike."""
    await send(_START)
    await send({"type": "http.response.body", "body": _BODY})


async def start(sock: socket.socket) -> None:
    """Serve on `sock`."""
    # Imported here: the other servers' memory is measured without it.
    import uvicorn

    config = uvicorn.Config(application, http="httptools", lifespan="off", log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if serving.done():
        await serving
    _running.add(serving)
