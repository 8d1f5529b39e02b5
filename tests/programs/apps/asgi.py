"""An ASGI application: what a small service does, in the plain protocol of the specification."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await ROUTES[scope["path"]](receive, send)


async def lifespan(receive: Receive, send: Send) -> None:
    for event in ("startup", "shutdown"):
        assert await receive() == {"type": f"lifespan.{event}"}
        print(f"lifespan {event}", flush=True)
        await send({"type": f"lifespan.{event}.complete"})


async def tell_loop(receive: Receive, send: Send) -> None:
    kind = type(asyncio.get_running_loop())
    await answer(send, {"loop": f"{kind.__module__}.{kind.__qualname__}"})


async def digest(receive: Receive, send: Send) -> None:
    """The size and hash of the request's body."""
    body, size = hashlib.sha256(), 0
    more = True
    while more:
        message = await receive()
        body.update(message["body"])
        size += len(message["body"])
        more = message["more_body"]
    await answer(send, {"size": size, "sha256": body.hexdigest()})


async def numbers(receive: Receive, send: Send) -> None:
    """A streamed response without a known length, with pauses."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(100):
        if number % 20 == 0:
            await asyncio.sleep(0.001)
        await send({"type": "http.response.body", "body": b"%d\n" % number, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def bulk(receive: Receive, send: Send) -> None:
    """More than any socket buffer holds."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"16777216")]})
    await send({"type": "http.response.body", "body": bytes(16777216)})


async def together(receive: Receive, send: Send) -> None:
    """A thread and sleeping tasks side by side."""
    found = await asyncio.gather(asyncio.to_thread(sum, range(1000)), *(asyncio.sleep(0.01, i) for i in range(10)))
    await answer(send, {"found": found})


async def answer(send: Send, value: object) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


ROUTES = {"/loop": tell_loop, "/digest": digest, "/numbers": numbers, "/bulk": bulk, "/together": together}
