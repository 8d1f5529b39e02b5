"""An aiohttp client that asks pages (pages.py) all it can, over a name to be resolved. Prints one JSON object."""

import asyncio
import hashlib
import json
import os

import aiohttp

BODY = bytes(range(256)) * 8192


async def ask_loop(session: aiohttp.ClientSession) -> str:
    async with session.get("/elsewhere") as response:
        return (await response.json())["loop"]


async def upload(session: aiohttp.ClientSession) -> bool:
    async with session.post("/digest", data=BODY) as response:
        return (await response.json())["sha256"] == hashlib.sha256(BODY).hexdigest()


async def count(session: aiohttp.ClientSession) -> int:
    async with session.get("/numbers") as response:
        return sum([int(line) async for line in response.content])


async def converse(session: aiohttp.ClientSession) -> int:
    right = 0
    async with session.ws_connect("/echo") as websocket:
        for number in range(100):
            await websocket.send_str(f"message {number}")
            right += await websocket.receive_str() == f"message {number}"[::-1]
    return right


async def main() -> None:
    async with aiohttp.ClientSession(f"http://localhost:{os.environ['PAGES_PORT']}") as session:
        server_loops = await asyncio.gather(*(ask_loop(session) for _ in range(100)))
        result = {
            "server loop": sorted(set(server_loops)),
            "upload": await upload(session),
            "count": await count(session),
            "messages": await converse(session),
        }
    kind = type(asyncio.get_running_loop())
    print(json.dumps(result | {"loop": f"{kind.__module__}.{kind.__qualname__}"}))


if __name__ == "__main__":
    asyncio.run(main())
