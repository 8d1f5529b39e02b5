"""What ferroloop wants to reach, and whether it does."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from peers import FASTNET, NATIVE, OURS, REFERENCE
from results import Results
from workload import NO_CPU_TIME, QUANTILES, Workload

# What counts as behind: closer is the noise of a machine that does other things too.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Bar:
    """`figures` are the measurements by what they are of; none, if nothing of it was measured."""

    claim: str
    figures: dict[str, float]
    holds: bool | None

    @classmethod
    def at_least(cls, claim: str, least: float, figures: dict[str, float]) -> "Bar":
        """All the figures have to reach `least`."""
        return cls(claim, figures, all(value >= least for value in figures.values()) if figures else None)

    @classmethod
    def at_most(cls, claim: str, most: float, figures: dict[str, float]) -> "Bar":
        """None of the figures may exceed `most`."""
        return cls(claim, figures, all(value <= most for value in figures.values()) if figures else None)


def behind(results: Results) -> list[tuple[Workload, float, str]]:
    """The workloads in which ferroloop is behind the best peer, by more than the tolerance: ratio and peer."""
    found = []
    for workload in results.workloads:
        ratio, peer = results.to_best(workload), results.best_peer(workload)
        if ratio and peer and ratio < 1 - TOLERANCE:
            found.append((workload, ratio, peer))
    return sorted(found, key=lambda one: one[1])


def bars(results: Results) -> Iterator[Bar]:
    """All of them, in the order of the report."""
    yield from _overall(results)
    yield from _throughput(results)
    yield from _growth(results)
    yield from _footprint(results)
    yield from _latency(results)


def _overall(results: Results) -> Iterator[Bar]:
    measured = any(results.to_best(workload) for workload in results.workloads)
    lost = {"workloads behind": float(len(behind(results)))} if measured else {}
    yield Bar.at_most(f"no workload more than {TOLERANCE:.0%} behind the best peer", 0, lost)
    to_reference = _known({"geometric mean": results.mean_to_reference(OURS)})
    yield Bar.at_least(f"at least 1.6 times {REFERENCE} over all", 1.6, to_reference)
    to_best = _known({"geometric mean": results.mean_to_best()})
    yield Bar.at_least("at least 1.05 times the composite of the best peer of each workload", 1.05, to_best)


def _throughput(results: Results) -> Iterator[Bar]:
    named = _Named(results)
    for size, most in ((1, 1.08), (100, 1.1)):
        costs = named(_cpu_to_native, [f"tcp/protocol/{size} KiB x {count}" for count in (16, 256)])
        yield Bar.at_most(f"{size} KiB echo: at most {most} times the CPU time of the native server", most, costs)
    tls = [f"tls/{kind}/{size} KiB x 16" for kind in ("protocol", "streams") for size in (1, 100)]
    yield Bar.at_least(f"TLS: at least 1.1 times {FASTNET}", 1.1, named(_ratio_to(FASTNET), tls))
    streams = [f"tcp/streams/{size} KiB x {count}" for size in (1, 10) for count in (1, 16, 256, 1000)]
    yield Bar.at_least("streams: at least 1.2 times the best peer", 1.2, named(Results.to_best, streams))
    http = ["http/uvicorn plaintext", "http/aiohttp plaintext"]
    yield Bar.at_least("HTTP servers: at least 1.05 times zuvloop", 1.05, named(_ratio_to("zuvloop"), http))
    spinning = "tcp/polling client, spinning/1 KiB x 1"
    once = _quotients(results, "tcp/polling client/1 KiB x 1", [spinning])
    yield Bar.at_least("spinning: at least twice the messages of one connection, of a client that polls too", 2, once)


def _growth(results: Results) -> Iterator[Bar]:
    idle = [f"tcp/idle/1 KiB x 16 beside {count}" for count in (1000, 8000)]
    costs = _cpu_quotients(results, "tcp/idle/1 KiB x 16 beside 0", idle)
    yield Bar.at_most("CPU time of a message beside idle connections: at most 1.1 times", 1.1, costs)
    timers = [f"timers/set and cancel beside {count}" for count in ("100k", "1M")]
    costs = _cpu_quotients(results, "timers/set and cancel", timers)
    yield Bar.at_most("CPU time of a timer beside pending ones: at most 1.5 times", 1.5, costs)


def _footprint(results: Results) -> Iterator[Bar]:
    named = _Named(results)
    for name, most in (("memory/idle connection", 1024), ("memory/idle TLS connection", 40 * 1024)):
        yield Bar.at_most(f"{name}: at most {most} bytes", most, named(_value, [name]))
    start = named(_to_best_extension, ["loop/create and close", "import/first loop"])
    yield Bar.at_least("not slower to start than the fastest loop that is not asyncio", 1 - TOLERANCE, start)
    idle = named(_value, ["cpu/5000 idle connections"])
    yield Bar.at_most("no CPU time with 5,000 idle connections, in ms/s", NO_CPU_TIME, idle)


def _latency(results: Results) -> Iterator[Bar]:
    figures: dict[str, float] = {}
    for name in ("tcp/protocol/1 KiB x 16", "tcp/protocol/1 KiB x 256"):
        for quantile, ratio in _Named(results).quantiles(name).items():
            figures[f"{name} {quantile}"] = ratio
    yield Bar.at_least(f"latency no worse than that of the best peer (within {TOLERANCE:.0%})", 1 - TOLERANCE, figures)
    precise = _Named(results)(Results.to_best, ["sleep/200 µs, late by"])
    yield Bar.at_least("sleep(200 µs) nearer to it than any peer that is never early", 1 - TOLERANCE, precise)


class _Named:
    """Figures of workloads by name; those that were not measured are left out."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.workloads = {workload.name: workload for workload in results.workloads}

    def __call__(self, figure: Callable[[Results, Workload], float | None], names: Iterable[str]) -> dict[str, float]:
        workloads = [self.workloads[name] for name in names if name in self.workloads]
        return _known({workload.name: figure(self.results, workload) for workload in workloads})

    def quantiles(self, name: str) -> dict[str, float]:
        """For each quantile, how many times our latency the best peer's is."""
        if name not in self.workloads:
            return {}
        workload = self.workloads[name]
        ours = self.results.latencies(workload, OURS)
        theirs = [known for peer in self.results.peers() if (known := self.results.latencies(workload, peer))]
        if not ours or not theirs:
            return {}
        each = zip(QUANTILES, ours, *theirs, strict=True)
        return {quantile: min(peers) / our for quantile, our, *peers in each}


def _value(results: Results, workload: Workload) -> float | None:
    return results.value(workload, OURS)


def _cpu_to_native(results: Results, workload: Workload) -> float | None:
    ratio = results.cpu_ratio(workload, OURS, NATIVE)
    return 1 / ratio if ratio else None


def _to_best_extension(results: Results, workload: Workload) -> float | None:
    """To the best peer that is an extension module, as we are."""
    ratios = [results.ratio(workload, OURS, peer) for peer in results.peers() if peer != "asyncio"]
    return min((ratio for ratio in ratios if ratio), default=None)


def _ratio_to(peer: str) -> Callable[[Results, Workload], float | None]:
    return lambda results, workload: results.ratio(workload, OURS, peer)


def _quotients(results: Results, base: str, names: list[str]) -> dict[str, float]:
    """Our values by that of the workload `base`."""
    return _divided(_Named(results)(_value, [base, *names]), base)


def _cpu_quotients(results: Results, base: str, names: list[str]) -> dict[str, float]:
    """Our CPU times by that of the workload `base`."""
    return _divided(_Named(results)(lambda of, workload: of.cpu(workload, OURS), [base, *names]), base)


def _divided(figures: dict[str, float], base: str) -> dict[str, float]:
    divisor = figures.pop(base, None)
    return {name: value / divisor for name, value in figures.items()} if divisor else {}


def _known(figures: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value is not None}
