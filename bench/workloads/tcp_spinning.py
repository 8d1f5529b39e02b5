"""Echo by a loop that polls for a while before it sleeps, to be compared with the same echo by one that does not.

Nobody but ferroloop offers it. A client that sleeps has to be woken for every answer, which takes as long as to wake
the server; one that polls as well shows what the server's part is.
"""

from served import Served

_SPIN = 100e-6
_ONE = ("echo", "--size", "1024", "--connections", "1")
_EAGER = (*_ONE, "--eager", "1")

WORKLOADS = (
    Served("tcp/spinning/1 KiB x 1", "protocol", _ONE, "msg/s", spin=_SPIN),
    Served("tcp/polling client/1 KiB x 1", "protocol", _EAGER, "msg/s", has_native=True),
    Served("tcp/polling client, spinning/1 KiB x 1", "protocol", _EAGER, "msg/s", spin=_SPIN),
)
