"""Echo by a loop that polls for a while before it sleeps, to be compared with the same echo by one that does not.

Nobody but ferroloop offers it.
"""

from served import Served

_SPIN = 100e-6


def _echo(connections: int) -> Served:
    load = ("echo", "--size", "1024", "--connections", str(connections))
    return Served(f"tcp/spinning/1 KiB x {connections}", "protocol", load, "msg/s", spin=_SPIN)


WORKLOADS = (_echo(1), _echo(16))
