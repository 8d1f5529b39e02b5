"""Growth: the same echo beside many connections that do nothing."""

from served import Served


def _echo(idle: int) -> Served:
    load = ("echo", "--size", "1024", "--connections", "16", "--idle", str(idle))
    name = f"tcp/idle/1 KiB x 16 beside {idle}"
    return Served(name, "protocol", load, "msg/s", has_native=True, connections=idle, overhead=0.5 + idle / 1e4)


WORKLOADS = (_echo(0), _echo(1000), _echo(8000))
