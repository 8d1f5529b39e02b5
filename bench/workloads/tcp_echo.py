"""TCP echo on the loopback device; every connection waits for its message to come back before it sends the next."""

from served import Served


def _echo(kind: str, size: int, connections: int) -> Served:
    label = f"{size // 1024} KiB x {connections}"
    load = ("echo", "--size", str(size), "--connections", str(connections))
    return Served(f"tcp/{kind}/{label}", kind, load, unit="msg/s", has_native=kind == "protocol")


WORKLOADS = (
    _echo("protocol", 1024, 1),
    _echo("protocol", 1024, 16),
    _echo("protocol", 1024, 256),
    _echo("protocol", 65536, 16),
    _echo("buffered", 1024, 16),
    _echo("streams", 1024, 1),
    _echo("streams", 1024, 16),
    _echo("sock", 1024, 1),
    _echo("sock", 1024, 16),
)
