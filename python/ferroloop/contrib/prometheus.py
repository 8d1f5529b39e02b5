"""For prometheus_client: the numbers of loops and servers, read when somebody asks for them."""

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector as AbstractCollector
from prometheus_client.utils import floatToGoString

from ._numbers import NUMBERS, Exporter, Number, Subject

_FAMILIES: dict[str, Any] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


class Collector(Exporter, AbstractCollector):  # type: ignore[misc, unused-ignore]
    """The numbers of the loops and servers that are added, for `prometheus_client.REGISTRY.register`.

    Their names are those of `loop.stats()` after `ferroloop_loop_`, with the label `loop`, and those of
    `Server.stats()` after `ferroloop_server_`, with the label `server`; durations end with `_seconds`, and what only
    grows with `_total`.
    """

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, as a registry asks for them."""
        for subject, numbers in NUMBERS.items():
            readings = list(self._read(subject))
            for number in numbers:
                family = _family(subject, number)
                for name, stats in readings:
                    _add(family, name, stats[number.key])
                yield family


def _family(subject: Subject, number: Number) -> Any:
    unit = "seconds" if number.unit == "s" else ""
    name = f"ferroloop_{subject}_{number.key}"
    return _FAMILIES[number.kind](name, number.text, labels=[subject], unit=unit)


def _add(family: Any, name: str, value: Any) -> None:
    if isinstance(family, HistogramMetricFamily):
        buckets = [(_bound(seconds), count) for seconds, count in value["buckets"]]
        family.add_metric([name], buckets, value["sum"])
    else:
        family.add_metric([name], value)


def _bound(seconds: float) -> str:
    return floatToGoString(seconds)  # type: ignore[no-any-return, no-untyped-call, unused-ignore]
