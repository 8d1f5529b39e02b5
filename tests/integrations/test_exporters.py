"""The exporters of ferroloop.contrib: what Prometheus and OpenTelemetry are told of loops and servers."""

import asyncio
import gc
from collections.abc import Iterator, Mapping
from typing import Any

import ferroloop
import prometheus_client
import pytest
from ferroloop.contrib import _numbers, opentelemetry, prometheus
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families


class Prometheus:
    """An exporter, and what is read from it: the value and the label of each sample, by its name."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry(auto_describe=True)
        self.exporter = prometheus.Collector()
        self.registry.register(self.exporter)

    def read(self) -> Mapping[str, list[tuple[str, float]]]:
        readings: dict[str, list[tuple[str, float]]] = {}
        text = prometheus_client.generate_latest(self.registry).decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                label = sample.labels.get("loop") or sample.labels["server"]
                readings.setdefault(sample.name, []).append((label, sample.value))
        return readings

    @staticmethod
    def name(subject: str, key: str) -> str:
        ends = {"iterations": "_total", "accepted": "_total", "idle": "_seconds_total"}
        return f"ferroloop_{subject}_{key}{ends.get(key, '')}"

    lateness = "ferroloop_loop_lateness_seconds_count", "ferroloop_loop_lateness_seconds_sum"


class OpenTelemetry:
    """The same; the label is the only attribute."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.exporter = opentelemetry.Instruments(self.provider.get_meter("test"))

    def read(self) -> Mapping[str, list[tuple[str, float]]]:
        data: Any = self.reader.get_metrics_data()
        readings: dict[str, list[tuple[str, float]]] = {}
        for metric in [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics:
            for point in metric.data.data_points:
                (label,) = point.attributes.values()
                readings.setdefault(metric.name, []).append((label, point.value))
        return readings

    @staticmethod
    def name(subject: str, key: str) -> str:
        return f"ferroloop.{subject}.{key}"

    lateness = "ferroloop.loop.lateness.count", "ferroloop.loop.lateness.sum"


@pytest.fixture(params=[Prometheus, OpenTelemetry])
def told(request: pytest.FixtureRequest) -> Iterator[Any]:
    telling = request.param()
    yield telling
    if isinstance(telling, OpenTelemetry):
        telling.provider.shutdown()


def test_loop(told: Any) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        told.exporter.add("main", loop)
        await asyncio.sleep(0.001)
        before, readings, after = loop.stats(), told.read(), loop.stats()
        for key in ("iterations", "idle", "timers", "descriptors"):
            ((label, value),) = readings[told.name("loop", key)]
            assert label == "main"
            assert before[key] <= value <= after[key]
        (_, count), (_, total) = (readings[name][0] for name in told.lateness)
        assert count == 1
        assert total == pytest.approx(after["lateness"]["sum"])

    ferroloop.run(main())
    assert told.name("loop", "iterations") not in told.read()


def test_server(told: Any) -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        told.exporter.add("api", server)
        async with server:
            for _ in range(3):
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                await reader.read()
                writer.close()
                await writer.wait_closed()
            readings = told.read()
        assert readings[told.name("server", "accepted")] == [("api", 3)]
        assert readings[told.name("server", "listening")] == [("api", 1)]
        assert told.read()[told.name("server", "listening")] == [("api", 0)]

    ferroloop.run(main())
    gc.collect()
    assert told.read() == {}


def test_names(told: Any) -> None:
    """Each loop has its own; a name that is given anew is the new one's."""
    loops = [ferroloop.new_event_loop() for _ in range(3)]
    for name, loop in zip(["a", "b", "a"], loops, strict=True):
        told.exporter.add(name, loop)
    loops[2].run_until_complete(asyncio.sleep(0))
    iterations = loops[2].stats()["iterations"]
    assert told.read()[told.name("loop", "iterations")] == [("a", iterations), ("b", 0)]
    for loop in loops:
        loop.close()
    assert told.read() == {}


def test_others_are_refused(told: Any) -> None:
    other = asyncio.new_event_loop()
    with pytest.raises(TypeError, match=r"^a loop or a server of ferroloop was expected, got <_Unix"):
        told.exporter.add("main", other)
    other.close()


@pytest.mark.parametrize("subject", ["loop", "server"])
def test_all_numbers_are_exported(subject: Any) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        async with await loop.create_server(asyncio.Protocol, "127.0.0.1", 0) as server:
            stats = {"loop": loop, "server": server}[subject].stats()
        numbers = _numbers.NUMBERS[subject]
        assert [number.key for number in numbers] == list(stats)
        histograms = {key for key, value in stats.items() if isinstance(value, dict)}
        assert {number.key for number in numbers if number.kind == "histogram"} == histograms

    ferroloop.run(main())


def test_histogram_of_prometheus() -> None:
    """Its buckets are those of stats(), the last without a bound."""
    told = Prometheus()
    loop = ferroloop.new_event_loop()
    told.exporter.add("main", loop)
    loop.run_until_complete(asyncio.sleep(0.001))
    text = prometheus_client.generate_latest(told.registry).decode()
    assert 'ferroloop_loop_lateness_seconds_bucket{le="1e-06",loop="main"}' in text
    assert 'ferroloop_loop_lateness_seconds_bucket{le="+Inf",loop="main"} 1.0' in text
    assert len(told.read()["ferroloop_loop_lateness_seconds_bucket"]) == len(loop.stats()["lateness"]["buckets"])
    loop.close()
