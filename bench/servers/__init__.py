"""Servers under load. Each kind is a coroutine function that starts serving on a listening socket and returns."""

from servers import accept, buffered, hello, protocol, streams

KINDS = {
    "accept": accept.start,
    "buffered": buffered.start,
    "hello": hello.start,
    "protocol": protocol.start,
    "streams": streams.start,
}
