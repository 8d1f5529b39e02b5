"""A program on asyncio's streams: a server that answers lines, and many clients, in one process.

Prints one JSON object: what was counted, and the loop it ran on.
"""

import asyncio
import hashlib
import json

CLIENTS = 100
LINES = 20
BULK = 8 * 1024 * 1024


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line in capitals; after the peer's end of file, the number of bytes it sent."""
    received = 0
    while line := await reader.readline():
        received += len(line)
        writer.write(line.upper())
        await writer.drain()
    writer.write(b"%d bytes\n" % received)
    writer.close()
    await writer.wait_closed()


async def talk(port: int, name: str) -> int:
    """Say some lines, half-close, and return how many answers were right."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    right = sent = 0
    for number in range(LINES):
        line = f"{name} line {number}\n".encode()
        writer.write(line)
        sent += len(line)
        right += await reader.readline() == line.upper()
    writer.write_eof()
    assert await reader.read() == b"%d bytes\n" % sent
    writer.close()
    await writer.wait_closed()
    return right


async def send_bulk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    block = bytes(range(256)) * 256
    for _ in range(BULK // len(block)):
        writer.write(block)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def fetch_bulk(port: int) -> str:
    reader, writer = await asyncio.open_connection("localhost", port)
    digest = hashlib.sha256()
    while data := await reader.read(100_000):
        digest.update(data)
    writer.close()
    await writer.wait_closed()
    return digest.hexdigest()


async def time_out(port: int) -> str:
    """Wait for an answer that does not come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(0.05):
            await reader.readline()
    except TimeoutError:
        return "timed out"
    finally:
        writer.close()
        await writer.wait_closed()
    return "answered"


async def main() -> None:
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with asyncio.TaskGroup() as group:
            talks = [group.create_task(talk(port, f"client {i}")) for i in range(CLIENTS)]
            silence = group.create_task(time_out(port))
    async with await asyncio.start_server(send_bulk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        digests = await asyncio.gather(*(fetch_bulk(port) for _ in range(3)))
    kind = type(asyncio.get_running_loop())
    result = {
        "loop": f"{kind.__module__}.{kind.__qualname__}",
        "right answers": sum(task.result() for task in talks),
        "silence": silence.result(),
        "bulk": sorted(set(digests)),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())
