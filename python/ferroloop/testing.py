"""What tests of asynchronous programs need: a loop that does not wait for timers."""

from __future__ import annotations

from ._compat import of_this_python
from ._loop import EventLoop


class VirtualClockLoop(EventLoop):
    """An event loop whose time stands still while there is something to do, and then jumps to the next deadline.

    `asyncio.sleep(3600)` is over in microseconds, and timers fire in the order of their deadlines, each at exactly its
    own. Before each jump the loop looks at sockets and for calls of other threads. Without a timer it waits for
    events like any other.

    `time` is not to be overridden or patched: deadlines are compared with the clock behind it.

    threshold: for how many real seconds nothing may happen before time jumps. With 0, whatever a thread or
    another process works at is late for every timeout.

    Raises ValueError for a negative threshold and for NaN; TypeError for what is no number.
    """

    def __init__(self, *, threshold: float = 0.0) -> None:
        super().__init__()
        try:
            self._start_virtual_clock(_checked(threshold))
        except BaseException:
            self.close()
            raise

    def time(self) -> float:
        """Return the virtual time: the seconds that the loop's timers have taken. A new loop is at 0."""
        return self._virtual_time()

    @of_this_python
    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait until the default executor's threads have ended, however long that takes.

        A `timeout` would be over before the threads knew: they live in real time.
        """
        await super().shutdown_default_executor()


def _checked(seconds: float) -> float:
    if not seconds >= 0:
        raise ValueError(f"a threshold is 0 seconds or more, got {seconds!r}")
    return seconds
