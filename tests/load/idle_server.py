"""A plain echo server: LOOP. Prints its port and serves until its stdin ends. Runs in a process of its own."""

import asyncio
import importlib
import sys
from typing import cast


class Echo(asyncio.Protocol):
    """What a small protocol keeps of its connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Echo."""
        self.transport.write(data)


def main(module: str) -> None:
    """Serve."""
    loop = importlib.import_module(module).new_event_loop()
    server = loop.run_until_complete(loop.create_server(Echo, "127.0.0.1", 0, backlog=1024))
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(sys.stdin.fileno(), loop.stop)
    loop.run_forever()
    loop.close()


main(sys.argv[1])
