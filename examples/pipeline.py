"""A pipeline of processes with its progress: FILE | gzip | sha256sum. `python pipeline.py FILE` prints the digest.

The programs hand data to each other through a pipe of their own; only what goes in at the front is written here. The
kernel's pipe buffers and `drain` keep a fast disk from filling the memory before a slow program.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process

import ferroloop

_CHUNK = 256 * 1024


async def main(path: str) -> int:
    """Run the pipeline; the exit status is 1 if one of its programs failed."""
    between, out = os.pipe()
    try:
        packer = await asyncio.create_subprocess_exec("gzip", "-nc", stdin=PIPE, stdout=out)
        digester = await asyncio.create_subprocess_exec("sha256sum", stdin=between, stdout=PIPE)
    finally:
        os.close(between)
        os.close(out)
    async with asyncio.TaskGroup() as group:
        group.create_task(feed(packer, path))
        answer = group.create_task(digester.communicate())
        statuses = [group.create_task(process.wait()) for process in (packer, digester)]
    print(answer.result()[0].decode().split()[0])
    return 1 if any(status.result() for status in statuses) else 0


async def feed(process: Process, path: str) -> None:
    """Write the file into the process, and tell how far it is. A process that ends early is reported by its status."""
    assert process.stdin
    total, done = os.path.getsize(path), 0
    with open(path, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            try:
                process.stdin.write(chunk)
                await process.stdin.drain()
            except ConnectionError:
                return
            done += len(chunk)
            print(f"\r{done / total:4.0%}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    process.stdin.close()


if __name__ == "__main__":
    sys.exit(ferroloop.run(main(sys.argv[1])))
