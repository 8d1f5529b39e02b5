"""A chat server. `python chat.py [PORT]`, then `nc 127.0.0.1 PORT`: your first line is your name."""

import asyncio
import signal
import sys

import ferroloop


class Room:
    """Who is here."""

    def __init__(self) -> None:
        self._writers: dict[asyncio.StreamWriter, str] = {}

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its name to its end."""
        try:
            name = await _line(reader)
            if name:
                self._writers[writer] = name
                self.say(f"* {name} joined, {len(self._writers)} here")
                while (words := await _line(reader)) is not None:
                    self.say(f"{name}: {words}", but=writer)
        finally:
            if self._writers.pop(writer, None):
                self.say(f"* {name} left")
            writer.close()

    def say(self, words: str, but: asyncio.StreamWriter | None = None) -> None:
        """Tell everybody. Who does not read what is said is shown out, before memory runs out."""
        for writer in [writer for writer in self._writers if writer is not but]:
            if writer.transport.get_write_buffer_size() > 1 << 20:
                writer.transport.abort()
            else:
                writer.write(f"{words}\n".encode())


async def _line(reader: asyncio.StreamReader) -> str | None:
    """The next line; None at the end, or if a line is too long or the connection is gone."""
    try:
        line = await reader.readline()
    except (ValueError, ConnectionError):
        return None
    return line.decode(errors="replace").strip() if line else None


async def main(port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(Room().visit, "127.0.0.1", port)
    print("listening on", *server.sockets[0].getsockname(), flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    ferroloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
