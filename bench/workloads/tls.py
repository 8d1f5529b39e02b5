"""TLS over TCP. Encrypting and decrypting keeps the load's core as busy as the server's, so that only the server's CPU
time tells what it could do.
"""

from served import Served


def _tls(name: str, kind: str, load: tuple[str, ...], unit: str = "msg/CPU s") -> Served:
    return Served(f"tls/{name}", kind, load, unit=unit, transport="tls", by_cpu_time=True)


def _echo(kind: str, size: int, connections: int) -> Served:
    load = ("echo", "--size", str(size), "--connections", str(connections))
    return _tls(f"{kind}/{size // 1024} KiB x {connections}", kind, load)


WORKLOADS = (
    _echo("protocol", 1024, 16),
    _echo("protocol", 102400, 16),
    _echo("streams", 1024, 16),
    _echo("streams", 102400, 16),
    _echo("buffered", 102400, 16),
    _tls("bulk/4 MiB x 1", "protocol", ("echo", "--size", str(4 << 20), "--connections", "1")),
    # A handshake each: sessions are not resumed.
    _tls("accept", "accept", ("accept", "--connections", "16"), unit="conn/CPU s"),
)
