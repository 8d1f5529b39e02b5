"""Polling for a while before sleeping: answers come sooner, for the price of a core."""

from __future__ import annotations

from ._environment import default

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._loop import EventLoop


# A longer spin gains nothing.
_LONGEST = 1.0


def set_spin(loop: EventLoop, seconds: float) -> None:
    """Have the loop poll for up to `seconds`, at most 1, before it sleeps.

    0, the default, means that it sleeps at once. A loop that sleeps has to be woken by the system for every message;
    one that polls has it at once. While it polls it keeps a core busy, each time that it runs out of work and for as
    long as it was told; other threads of the program run meanwhile. Timers, signals and `call_soon_threadsafe` end the
    polling as they end a sleep. New loops begin with what the environment variable FERROLOOP_SPIN said when ferroloop
    was imported.

    Raises ValueError for a negative number, for more than 1, and for NaN; TypeError for what is no number.
    """
    loop._spin = _checked(seconds)
    loop._set_spin(loop._spin)


def get_spin(loop: EventLoop) -> float:
    """Return for how many seconds the loop polls before it sleeps."""
    return loop._spin


def _checked(seconds: float) -> float:
    if not 0 <= seconds <= _LONGEST:
        raise ValueError(f"a loop spins for 0 to {_LONGEST:g} seconds, got {seconds!r}")
    return float(seconds)


DEFAULT_SPIN = default("FERROLOOP_SPIN", lambda text: _checked(float(text)), "0")
