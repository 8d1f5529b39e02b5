"""Protocols that remember what the transport told them."""

import asyncio
from collections.abc import Callable
from typing import Any

Event = tuple[Any, ...]


class Events(asyncio.BaseProtocol):
    """Keeps every event, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.events.append(("made",))

    def pause_writing(self) -> None:
        self.events.append(("pause",))

    def resume_writing(self) -> None:
        self.events.append(("resume",))

    def connection_lost(self, exc: BaseException | None) -> None:
        self.events.append(("lost", exc))

    @property
    def lost(self) -> list[BaseException | None]:
        """The argument of each connection_lost."""
        return [event[1] for event in self.events if event[0] == "lost"]


class Recorder(Events, asyncio.Protocol):
    """Of a stream or a pipe; `eof_result` is what eof_received returns."""

    def __init__(self, eof_result: bool | None = None) -> None:
        super().__init__()
        self.eof_result = eof_result

    def data_received(self, data: bytes) -> None:
        self.events.append(("data", data))

    def eof_received(self) -> bool | None:
        self.events.append(("eof",))
        return self.eof_result

    @property
    def data(self) -> bytes:
        """All bytes received so far."""
        return b"".join(event[1] for event in self.events if event[0] == "data")

    @property
    def names(self) -> list[str]:
        """The events without arguments, neighbouring data events as one."""
        names: list[str] = []
        for event in self.events:
            if event[0] != "data" or names[-1:] != ["data"]:
                names.append(event[0])
        return names


class BufferedRecorder(Recorder, asyncio.BufferedProtocol):
    """The same for a BufferedProtocol; `allocate(sizehint)` makes the buffers."""

    def __init__(self, allocate: Callable[[int], Any] | None = None) -> None:
        super().__init__()
        self.allocate = allocate or (lambda hint: bytearray(16))
        self.buffer: Any = None

    def get_buffer(self, sizehint: int) -> Any:
        self.buffer = self.allocate(sizehint)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.events.append(("data", bytes(memoryview(self.buffer).cast("B")[:nbytes])))
