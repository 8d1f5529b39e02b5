"""Websockets that share a room: what one sends, all the others get. Needs aiohttp. `python broadcast.py [PORT]`."""

import asyncio
import contextlib
import sys

import ferroloop
from aiohttp import WSCloseCode, WSMsgType, web

_Room = set[web.WebSocketResponse]
_ROOM = web.AppKey("room", _Room)


async def visit(request: web.Request) -> web.WebSocketResponse:
    """One websocket, until it is closed."""
    room = request.app[_ROOM]
    socket = web.WebSocketResponse(heartbeat=20)
    await socket.prepare(request)
    room.add(socket)
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await broadcast(room - {socket}, message.data)
    finally:
        room.discard(socket)
    return socket


async def broadcast(sockets: _Room, text: str) -> None:
    """Send to all; one that is gone meanwhile is nobody's business here."""
    for socket in sockets:
        with contextlib.suppress(ConnectionError):
            await socket.send_str(text)


async def close_all(app: web.Application) -> None:
    """Say good-bye when the server ends."""
    room = app[_ROOM]
    for socket in set(room):
        await socket.close(code=WSCloseCode.GOING_AWAY)


def application() -> web.Application:
    """The room and its only door."""
    app = web.Application()
    room: _Room = set()
    app[_ROOM] = room
    app.router.add_get("/room", visit)
    app.on_shutdown.append(close_all)
    return app


async def main(port: int) -> None:
    """Serve until cancelled."""
    runner = web.AppRunner(application())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print("listening on", *runner.addresses[0], flush=True)
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        ferroloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
