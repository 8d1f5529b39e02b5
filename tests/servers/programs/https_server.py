"""An aiohttp server over https: asked by aiohttp, by the standard library in threads, and over websockets."""

import asyncio
import hashlib
import os
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
from aiohttp import web
from common import check_loop, client_tls, run, server_tls

BODY = os.urandom(4_000_000)


async def main(places: dict[str, Any]) -> None:
    app = web.Application(client_max_size=1 << 30)
    app.add_routes([web.get("/hello", hello), web.post("/digest", digest), web.get("/stream", stream)])
    app.add_routes([web.get("/socket", socket), web.static("/files", places["keys"])])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls(places)).start()
    loop = asyncio.get_running_loop()
    url = f"https://localhost:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(ssl=client_tls(places))) as session:
            await asyncio.gather(*(ask(session, number) for number in range(200)))
            await talk(session)
        # Threads of their own: aiohttp reads its files in the default executor.
        with ThreadPoolExecutor(10) as threads:
            asking = [loop.run_in_executor(threads, ask_blocking, url, places) for _ in range(20)]
            await asyncio.gather(*asking)
    finally:
        await runner.cleanup()


async def hello(request: web.Request) -> web.Response:
    check_loop(type(asyncio.get_running_loop()))
    return web.json_response({"number": request.query["number"], "secure": request.secure})


async def digest(request: web.Request) -> web.Response:
    return web.Response(text=hashlib.sha256(await request.read()).hexdigest())


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for start in range(0, len(BODY), 50_000):
        await response.write(BODY[start : start + 50_000])
    return response


async def socket(request: web.Request) -> web.WebSocketResponse:
    response = web.WebSocketResponse()
    await response.prepare(request)
    async for message in response:
        await response.send_bytes(message.data[::-1])
    return response


async def ask(session: aiohttp.ClientSession, number: int) -> None:
    async with session.get("/hello", params={"number": str(number)}) as response:
        assert await response.json() == {"number": str(number), "secure": True}
    if number % 20 == 0:
        async with session.post("/digest", data=BODY) as response:
            assert await response.text() == hashlib.sha256(BODY).hexdigest()
        async with session.get("/stream") as response:
            assert await response.read() == BODY


async def talk(session: aiohttp.ClientSession) -> None:
    async with session.ws_connect("/socket") as socket:
        for size in (0, 1, 1000, 1_000_000):
            await socket.send_bytes(BODY[:size])
            assert await socket.receive_bytes() == BODY[:size][::-1]


def ask_blocking(url: str, places: dict[str, Any]) -> None:
    context = client_tls(places)
    with urllib.request.urlopen(f"{url}/stream", context=context, timeout=60) as response:
        assert response.read() == BODY
    with urllib.request.urlopen(f"{url}/files/ca.pem", context=context, timeout=60) as response:
        assert response.read().startswith(b"-----BEGIN CERTIFICATE")


run(main)
