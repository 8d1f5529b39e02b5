"""The application of the demo: plain ASGI, no framework, nothing that knows which loop it runs on."""

import asyncio
import json
import platform
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Answer = dict[str, object]

PLAINTEXT = b"Hello, World!"


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """Answer one request; `lifespan` has nothing to start or stop."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["path"] == "/plaintext":
        await _send(send, b"text/plain", PLAINTEXT)
    else:
        answer = await _ROUTES[scope["path"]](scope, receive)
        await _send(send, b"application/json", json.dumps(answer).encode())


async def who(scope: Message, receive: Receive) -> Answer:
    """The loop, as the application sees it."""
    loop = type(asyncio.get_running_loop())
    return {
        "loop": f"{loop.__module__}.{loop.__qualname__}",
        "python": platform.python_version(),
        "threads": threading.active_count(),
    }


async def together(scope: Message, receive: Receive) -> Answer:
    """A hundred tasks that sleep for a tenth of a second, all at once."""
    start = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(asyncio.sleep(0.1))
    return {"tasks": 100, "each slept": 0.1, "all took": round(time.monotonic() - start, 2)}


async def deadline(scope: Message, receive: Receive) -> Answer:
    """A wait that is given up."""
    try:
        async with asyncio.timeout(0.05):
            await asyncio.Event().wait()
    except TimeoutError:
        return {"gave up after": 0.05}
    raise AssertionError("nobody sets the event")


async def upload(scope: Message, receive: Receive) -> Answer:
    """A request body, read piece by piece."""
    received, pieces, more = 0, 0, True
    while more:
        message = await receive()
        received += len(message.get("body", b""))
        pieces += 1
        more = message.get("more_body", False)
    return {"bytes": received, "in more than one piece": pieces > 1}


async def neighbour(scope: Message, receive: Receive) -> Answer:
    """The client side: a connection from inside the application, here to itself, with asyncio's streams."""
    host, port = scope["server"]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /plaintext HTTP/1.1\r\nHost: neighbour\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return {"the neighbour says": answer.partition(b"\r\n\r\n")[2].decode()}


async def cpu(scope: Message, receive: Receive) -> Answer:
    """CPU time of this process so far, in seconds."""
    return {"seconds": time.process_time()}


_ROUTES = {
    "/": who,
    "/together": together,
    "/deadline": deadline,
    "/upload": upload,
    "/neighbour": neighbour,
    "/cpu": cpu,
}


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _send(send: Send, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
