"""Unix sockets: echo as over TCP, and the accept rate."""

from served import Served

_ECHO = ("echo", "--size", "1024", "--connections", "16")
_ACCEPT = ("accept", "--connections", "32")

WORKLOADS = (
    Served("unix/protocol/1 KiB x 16", "protocol", _ECHO, unit="msg/s", transport="unix"),
    Served("unix/streams/1 KiB x 16", "streams", _ECHO, unit="msg/s", transport="unix"),
    Served("unix/accept", "accept", _ACCEPT, unit="conn/CPU s", transport="unix", by_cpu_time=True),
)
