"""UDP echo: every socket waits for its datagram to come back before it sends the next."""

from served import Served

_ECHO = ("echo", "--size", "1024", "--connections", "16")

WORKLOADS = (Served("udp/echo/1 KiB x 16", "datagram", _ECHO, unit="msg/s", transport="udp"),)
