"""A file server over HTTP. `python files.py DIRECTORY [PORT]`: the kernel copies (`loop.sendfile`)."""

import asyncio
import contextlib
import mimetypes
import sys
from asyncio import StreamReader, StreamWriter
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote, urlsplit

import ferroloop


class FileServer:
    """The files below one directory, and nothing else."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, request after request."""
        try:
            while head := await _head(reader):
                await self._answer(head, writer)
                if "\r\nconnection: close\r\n" in head.lower():
                    break
        except ConnectionError:
            writer.transport.abort()
        finally:
            writer.close()

    async def _answer(self, head: str, writer: StreamWriter) -> None:
        method, _, rest = head.partition("\r\n")[0].partition(" ")
        path = self._path(rest.partition(" ")[0])
        if method not in ("GET", "HEAD"):
            writer.write(_answer_head(HTTPStatus.METHOD_NOT_ALLOWED))
        elif path is None:
            writer.write(_answer_head(HTTPStatus.NOT_FOUND))
        else:
            with path.open("rb") as file:
                kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
                writer.write(_answer_head(HTTPStatus.OK, path.stat().st_size, kind))
                if method == "GET":
                    # What was written before goes out first; then not a byte of the file passes through Python.
                    await asyncio.get_running_loop().sendfile(writer.transport, file)
        await writer.drain()

    def _path(self, target: str) -> Path | None:
        """The file that is meant, if it is a file and lies below the root, wherever `..` and links lead."""
        with contextlib.suppress(OSError, ValueError):
            path = (self._root / unquote(urlsplit(target).path).lstrip("/")).resolve()
            if path.is_file() and path.is_relative_to(self._root):
                return path
        return None


async def _head(reader: StreamReader) -> str:
    """The head of a request; empty at the end of the connection, or if what comes is no request."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return ""
    return head.decode("latin-1")


def _answer_head(status: HTTPStatus, length: int = 0, kind: str = "text/plain") -> bytes:
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Length: {length}",
        f"Content-Type: {kind}",
    )
    return "\r\n".join([*lines, "", ""]).encode()


async def main(root: str, port: int) -> None:
    """Serve until cancelled."""
    server = await asyncio.start_server(FileServer(Path(root)).serve, "127.0.0.1", port)
    print("listening on", *server.sockets[0].getsockname(), flush=True)
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        server.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        ferroloop.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
