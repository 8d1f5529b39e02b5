"""What loops and servers tell in numbers, and of which of them: what the exporters of this package have in common."""

import threading
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from .._loop import EventLoop
from .._server import Server

Subject = Literal["loop", "server"]


class Number(NamedTuple):
    """A number of `stats()`; its unit is UCUM's, as OpenTelemetry writes it, with what is counted in braces."""

    key: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    text: str


NUMBERS: Mapping[Subject, tuple[Number, ...]] = {
    "loop": (
        Number("iterations", "counter", "{iteration}", "Iterations of the loop"),
        Number("callbacks", "counter", "{callback}", "Callbacks that have run, events of transports included"),
        Number("waits", "counter", "{wait}", "How often the loop had nothing to do"),
        Number("idle", "counter", "s", "For how long the loop had nothing to do"),
        Number("ready", "gauge", "{callback}", "Callbacks in the queue"),
        Number("timers", "gauge", "{timer}", "Timers that are set"),
        Number("descriptors", "gauge", "{descriptor}", "Descriptors that are watched"),
        Number("lookups", "gauge", "{call}", "Calls that wait for a name to be looked up"),
        Number("lateness", "histogram", "s", "How late timers were put into the queue"),
        Number("busy", "histogram", "s", "For how long the loop was at work from one wait to the next"),
    ),
    "server": (
        Number("accepted", "counter", "{connection}", "Connections that accept(2) has given"),
        Number("clients", "gauge", "{connection}", "Connections there are"),
        Number("listening", "gauge", "{socket}", "Sockets on which the server listens"),
        Number("accept_errors", "counter", "{error}", "How often the system had no means for a connection"),
        Number("paused", "gauge", "{socket}", "Sockets that do not accept now because of such an error"),
    ),
}


class Exporter:
    """The loops and servers that are exported, by name."""

    def __init__(self) -> None:
        # Reentrant: anything may be collected, and so finalised, within.
        self._lock = threading.RLock()
        self._named: dict[Subject, dict[str, weakref.ref[Any]]] = {"loop": {}, "server": {}}

    def add(self, name: str, subject: EventLoop | Server) -> None:
        """Export the numbers of a loop or a server from now on, with `name` as its label.

        A name that a loop, or a server, has already is the new one's from now on. None is kept alive by this: a server
        is exported for as long as the program has it, a loop until it is closed. May be called from any thread.

        Raises TypeError if it is no loop or server of ferroloop.
        """
        if isinstance(subject, EventLoop):
            kind: Subject = "loop"
        elif isinstance(subject, Server):
            kind = "server"
        else:
            raise TypeError(f"a loop or a server of ferroloop was expected, got {subject!r}")
        with self._lock:
            self._named[kind][name] = weakref.ref(subject)

    def _read(self, kind: Subject) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The numbers of each loop or server there is, by its name."""
        with self._lock:
            named = self._named[kind]
            found = {name: subject for name, reference in named.items() if (subject := reference()) is not None}
            self._named[kind] = {name: named[name] for name in found}
        for name, subject in found.items():
            stats = subject.stats()
            # A closed loop has forgotten its numbers; one may have been closed just now.
            if not (isinstance(subject, EventLoop) and subject.is_closed()):
                yield name, stats
