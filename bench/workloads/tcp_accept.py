"""Accept rate: connections made, asked one byte, answered and closed."""

from served import Served

_LOAD = ("accept", "--connections", "32")

WORKLOADS = (Served("tcp/accept", "accept", _LOAD, unit="conn/CPU s", by_cpu_time=True),)
