"""An aiohttp application for servers that make the loop themselves."""

import asyncio

from aiohttp import web


async def tell_loop(request: web.Request) -> web.Response:
    kind = type(asyncio.get_running_loop())
    return web.json_response({"loop": f"{kind.__module__}.{kind.__qualname__}"})


app = web.Application()
app.router.add_get("/loop", tell_loop)
