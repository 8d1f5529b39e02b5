"""TCP echo on the loopback device; every connection waits for its message to come back before it sends the next."""

from served import Served

_KINDS = ("protocol", "buffered", "streams", "sock")
_SIZES = (1, 10, 100)
_CONNECTIONS = (1, 16, 256, 1000)


def _echo(kind: str, kibibytes: int, connections: int) -> Served:
    load = ("echo", "--size", str(kibibytes * 1024), "--connections", str(connections))
    name = f"tcp/{kind}/{kibibytes} KiB x {connections}"
    return Served(name, kind, load, unit="msg/s", has_native=kind == "protocol", connections=connections)


WORKLOADS = tuple(
    _echo(kind, kibibytes, connections) for kind in _KINDS for kibibytes in _SIZES for connections in _CONNECTIONS
)
