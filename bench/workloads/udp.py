"""UDP echo: every socket waits for its datagram to come back before it sends the next."""

from served import Served


def _echo(connections: int) -> Served:
    load = ("echo", "--size", "1024", "--connections", str(connections))
    return Served(f"udp/echo/1 KiB x {connections}", "datagram", load, unit="msg/s", transport="udp")


WORKLOADS = (_echo(1), _echo(16))
