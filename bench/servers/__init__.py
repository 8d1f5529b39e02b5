"""Servers under load. Each kind is a coroutine function that starts serving on a bound socket and returns."""

from servers import accept, aiohttp_hello, buffered, bulk, datagram, hello, protocol, sock, streams

KINDS = {
    "accept": accept.start,
    "aiohttp": aiohttp_hello.start,
    "buffered": buffered.start,
    "datagram": datagram.start,
    "hello": hello.start,
    "protocol": protocol.start,
    "receive": bulk.receive,
    "send": bulk.send,
    "sock": sock.start,
    "streams": streams.start,
}
