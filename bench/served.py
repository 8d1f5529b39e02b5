"""Workloads of a server under load: the server on one core, the load generator on the other."""

import json
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field

import loadgen
from certificate import AUTHORITY, SERVER, made
from memory import allow_files
from peers import FASTNET, NATIVE, OURS
from process import child, cores, python, server
from workload import QUANTILES, ByTurns, Part, Sample, worked

_WARMUP = 0.1
# Before the window of each turn: what other servers did has emptied the caches.
_RESUMING = 0.005


@dataclass(frozen=True)
class Served(ByTurns):
    """`kind` is a server of `servers/`; `load` are mode and options of the load generator."""

    name: str
    kind: str
    load: tuple[str, ...]
    unit: str = "/s"
    transport: str = "tcp"
    has_native: bool = False
    # For a load that keeps its core busier than the server its own: only the server's time tells what it could do.
    by_cpu_time: bool = False
    # More than a few connections need as many descriptors, here and there.
    connections: int = 0
    # Seconds for which ferroloop, and no other loop, is to spin.
    spin: float = 0
    less_is_better: bool = field(default=False, init=False)
    overhead: float = _WARMUP + 0.45

    def takes(self, loop: str) -> bool:
        """All loops; the native server if it can."""
        if self.spin:
            return loop == OURS
        if loop == FASTNET:
            return self.transport != "udp" and self.kind != "sock"
        return loop != NATIVE or self.has_native

    def missing(self) -> str | None:
        """Nothing."""
        return None

    def parts(self, loop: str, seconds: float) -> Generator[Part]:
        """Start the server, load it, and count operations and the server's CPU time in the measured windows."""
        allow_files(self.connections + 200)
        server_core, load_core = cores()
        environment = {"FERROLOOP_SPIN": str(self.spin)} if self.spin else {}
        with server(server_command(loop, self.kind, self.transport), server_core, environment) as (pid, port):
            command = [loadgen.path(), *self.load, "--transport", self.transport, "--port", str(port)]
            command += ["--authority", made(AUTHORITY)] if self.transport == "tls" else []
            command += ["--server-pid", str(pid)]
            with child(command, load_core) as load:
                load.ask(f"{_WARMUP} 0", timeout=60)
                while True:
                    yield json.loads(load.ask(f"{_RESUMING} {seconds}", timeout=60 + seconds))

    def total(self, parts: list[Part]) -> Sample:
        """The rate of all parts together."""
        operations, seconds, cpu = worked(parts)
        latencies: Counter[int] = Counter()
        for part in parts:
            latencies.update(dict(part["latencies"]))
        value = operations / (cpu if self.by_cpu_time else seconds)
        return Sample(value, cpu / operations, quantiles(latencies))


def quantiles(latencies: Counter[int]) -> tuple[float, ...]:
    """The seconds that the QUANTILES of the exchanges stayed below; `latencies` counts nanoseconds."""
    total, below = latencies.total(), 0
    thousandths, found = list(QUANTILES.values()), list[float]()
    for nanoseconds in sorted(latencies):
        below += latencies[nanoseconds]
        while len(found) < len(thousandths) and below * 1000 >= thousandths[len(found)] * total:
            found.append(nanoseconds / 1e9)
    return tuple(found)


def server_command(loop: str, kind: str, transport: str = "tcp") -> list[str]:
    """The command of a server of `kind` on `loop`; the minimal epoll server if that is `native`."""
    if loop == NATIVE:
        return [loadgen.path(), "serve"]
    certificate = [made(SERVER)] if transport == "tls" else []
    return python("server_child.py", loop, kind, transport, *certificate)
