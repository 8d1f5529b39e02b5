"""An aiohttp server, started as its documentation says. Prints the port it listens on, and goodbye."""

import asyncio
import hashlib
import socket

from aiohttp import WSMsgType, web

routes = web.RouteTableDef()


@routes.get("/loop")
async def tell_loop(request: web.Request) -> web.Response:
    kind = type(asyncio.get_running_loop())
    return web.json_response({"loop": f"{kind.__module__}.{kind.__qualname__}"})


@routes.post("/digest")
async def digest(request: web.Request) -> web.Response:
    body = hashlib.sha256()
    async for chunk in request.content.iter_chunked(65536):
        body.update(chunk)
    return web.json_response({"sha256": body.hexdigest()})


@routes.get("/numbers")
async def numbers(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(100):
        await response.write(b"%d\n" % number)
    await response.write_eof()
    return response


@routes.get("/echo")
async def echo(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse()
    await websocket.prepare(request)
    async for message in websocket:
        assert message.type is WSMsgType.TEXT
        await websocket.send_str(message.data[::-1])
    return websocket


@routes.get("/elsewhere")
async def elsewhere(request: web.Request) -> web.Response:
    raise web.HTTPFound("/loop")


async def say_goodbye(app: web.Application) -> None:
    print("goodbye", flush=True)


def main() -> None:
    app = web.Application()
    app.add_routes(routes)
    app.on_cleanup.append(say_goodbye)
    sock = socket.create_server(("127.0.0.1", 0))
    print("listening on", sock.getsockname()[1], flush=True)
    web.run_app(app, sock=sock, print=None, shutdown_timeout=1)


if __name__ == "__main__":
    main()
