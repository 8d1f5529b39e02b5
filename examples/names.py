"""A responder over UDP that speaks a little DNS (RFC 1035). `python names.py [PORT]`.

Then `dig -p PORT @127.0.0.1 two.example`. It knows A records of three names; others do not exist.
"""

import asyncio
import contextlib
import socket
import struct
import sys
from typing import cast

import ferroloop

RECORDS = {"one.example": "192.0.2.1", "two.example": "192.0.2.2", "three.example": "192.0.2.3"}

_HEADER = struct.Struct("!6H")  # id, flags, counts of questions, answers, authorities and additional records
_A, _IN, _TTL = 1, 1, 60
_ANSWER, _RECURSION_WANTED, _OPCODE = 0x8000, 0x0100, 0x7800
_AUTHORITATIVE, _NO_SUCH_NAME, _NOT_IMPLEMENTED = 0x0400, 3, 4
_NAME_OF_QUESTION = 0xC000 + _HEADER.size  # a pointer to the name at the beginning of the message


class Responder(asyncio.DatagramProtocol):
    """Answers each datagram by itself: there is no connection and nothing to remember."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer; what is no question is dropped, as anybody may send anything."""
        with contextlib.suppress(ValueError, struct.error):
            self._transport.sendto(answer(data), addr)


def answer(query: bytes) -> bytes:
    """The message for this one. Raises ValueError or struct.error for what is no query."""
    number, flags, questions, *_ = _HEADER.unpack_from(query)
    if flags & _ANSWER or questions != 1:
        raise ValueError("not a query")
    name, end = _name(query, _HEADER.size)
    kind, group = struct.unpack_from("!2H", query, end)
    question = query[_HEADER.size : end + 4]
    address = RECORDS.get(name)
    status = _NOT_IMPLEMENTED if flags & _OPCODE else 0 if address else _NO_SUCH_NAME
    records = b""
    if address and status == 0 and (kind, group) == (_A, _IN):
        records = struct.pack("!3HIH", _NAME_OF_QUESTION, _A, _IN, _TTL, 4) + socket.inet_aton(address)
    flags = _ANSWER | _AUTHORITATIVE | flags & (_RECURSION_WANTED | _OPCODE) | status
    return _HEADER.pack(number, flags, 1, 1 if records else 0, 0, 0) + question + records


def _name(message: bytes, start: int) -> tuple[str, int]:
    """The name that begins here, and where it ends. Questions have no pointers in them."""
    labels = []
    while length := message[start] if start < len(message) else 64:
        if length > 63:
            raise ValueError("no name")
        labels.append(message[start + 1 : start + 1 + length].decode("ascii").lower())
        start += 1 + length
    return ".".join(labels), start + 1


async def main(port: int) -> None:
    """Answer until cancelled."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Responder, local_addr=("127.0.0.1", port))
    try:
        print("listening on", *transport.get_extra_info("sockname"), flush=True)
        await loop.create_future()
    finally:
        transport.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        ferroloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
