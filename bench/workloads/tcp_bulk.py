"""TCP in bulk: one connection over which the server receives, or sends, as fast as it can.

The other side does nothing but read or write, so the server's own time says what it could do; 1 MiB is the operation.
"""

from served import Served


def _bulk(direction: str) -> Served:
    return Served(f"tcp/bulk/{direction}", direction, (direction,), unit="MiB/CPU s", by_cpu_time=True)


WORKLOADS = (_bulk("receive"), _bulk("send"))
