"""For OpenTelemetry: the numbers of loops and servers, read when its SDK asks for them."""

import functools
import operator
from collections.abc import Iterator
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter

from .. import __version__
from ._numbers import NUMBERS, Exporter, Number, Subject

# Where in stats() it is, its kind, and its unit.
_Instrument = tuple[tuple[str, ...], str, str]


class Instruments(Exporter):
    """Observable instruments for the numbers of the loops and servers that are added.

    Their names are those of `loop.stats()` after `ferroloop.loop.`, with the attribute `ferroloop.loop.name`, and those
    of `Server.stats()` after `ferroloop.server.`, with `ferroloop.server.name`. No histogram can be observed: of the
    durations `lateness` and `busy` there are `.count`, `.sum` and `.max`.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        """`meter` makes the instruments (default: the global provider's, named `ferroloop`)."""
        super().__init__()
        meter = meter or get_meter("ferroloop", __version__)
        create = {"counter": meter.create_observable_counter, "gauge": meter.create_observable_gauge}
        for subject, numbers in NUMBERS.items():
            for number in numbers:
                for path, kind, unit in _instruments(number):
                    name = ".".join(("ferroloop", subject, *path))
                    callback = functools.partial(self._observe, subject, path)
                    create[kind](name, [callback], unit, number.text)

    def _observe(self, subject: Subject, path: tuple[str, ...], _: CallbackOptions) -> Iterator[Observation]:
        for name, stats in self._read(subject):
            value: Any = functools.reduce(operator.getitem, path, stats)
            yield Observation(value, {f"ferroloop.{subject}.name": name})


def _instruments(number: Number) -> Iterator[_Instrument]:
    if number.kind == "histogram":
        yield (number.key, "count"), "counter", "{duration}"
        yield (number.key, "sum"), "counter", number.unit
        yield (number.key, "max"), "gauge", number.unit
    else:
        yield (number.key,), number.kind, number.unit
