"""Random programs of scheduling calls, and a machine that runs them on any loop."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Action = tuple[Any, ...]
Program = list[Action]
Trace = list[tuple[Any, ...]]

ITERATIONS = 30


def programs() -> st.SearchStrategy[Program]:
    """Actions; those that schedule carry the program of their callback."""
    return st.recursive(st.just([]), _larger, max_leaves=20)


def _larger(inner: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
    action = st.one_of(
        st.tuples(st.sampled_from(["soon", "threadsafe", "add_reader"]), inner),
        st.tuples(st.sampled_from(["later", "at"]), st.integers(-2, 8), inner),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.sampled_from(["stop", "fail", "exit", "remove_reader"])),
    )
    return st.lists(action, max_size=5)


class Machine:
    """Runs a program on a loop whose clock it turns by one tick per iteration."""

    def __init__(self, loop: Any, ready: socket.socket) -> None:
        self.loop = loop
        self.ready = ready  # always readable
        self.iteration = 0
        self.handles: list[Any] = []
        self.trace: Trace = []

    def run(self, program: Program) -> Trace:
        """The callbacks in order, each with its iteration, and every way out of the run."""
        self.loop.set_exception_handler(
            lambda loop, context: self._note("handled", type(context["exception"]).__name__)
        )
        self._perform(program)
        self.loop.call_soon(self._tick)
        while self.iteration < ITERATIONS:
            try:
                self.loop.run_forever()
                self._note("stopped")
            except SystemExit:
                self._note("exit")
        self.loop.remove_reader(self.ready)
        return [*self.trace, tuple(handle.cancelled() for handle in self.handles)]

    def _tick(self) -> None:
        self.iteration += 1
        self.loop.now += 1.0
        if self.iteration < ITERATIONS:
            self.loop.call_soon(self._tick)
        else:
            self.loop.stop()

    def _note(self, *what: Any) -> None:
        self.trace.append((self.iteration, *what))

    def _perform(self, program: Program) -> None:
        for name, *args in program:
            getattr(self, f"_do_{name}")(*args)

    def _callback(self, program: Program) -> Callable[[], None]:
        number = len(self.handles)

        def run() -> None:
            self._note("run", number)
            self._perform(program)

        return run

    def _do_soon(self, program: Program) -> None:
        self.handles.append(self.loop.call_soon(self._callback(program)))

    def _do_threadsafe(self, program: Program) -> None:
        self.handles.append(self.loop.call_soon_threadsafe(self._callback(program)))

    def _offset(self, ticks: int) -> float:
        return ticks + len(self.handles) * 1e-4  # no two deadlines are equal (S5.5)

    def _do_later(self, ticks: int, program: Program) -> None:
        delay = self._offset(ticks)
        self.handles.append(self.loop.call_later(delay, self._callback(program)))

    def _do_at(self, ticks: int, program: Program) -> None:
        when = self.loop.now + self._offset(ticks)
        self.handles.append(self.loop.call_at(when, self._callback(program)))

    def _do_cancel(self, number: int) -> None:
        if self.handles:
            self.handles[number % len(self.handles)].cancel()

    def _do_add_reader(self, program: Program) -> None:
        self.loop.add_reader(self.ready, self._callback(program))

    def _do_remove_reader(self) -> None:
        self._note("removed", self.loop.remove_reader(self.ready))

    def _do_stop(self) -> None:
        self.loop.stop()

    def _do_fail(self) -> None:
        raise ValueError

    def _do_exit(self) -> None:
        raise SystemExit


def trace(loop_class: type, program: Program) -> Trace:
    """Run the program on a fresh loop of the class, with a clock of its own (S1.9)."""

    class Ticking(loop_class):
        now = 1000.0

        def time(self) -> float:
            return self.now

    loop: asyncio.AbstractEventLoop = Ticking()
    left, right = socket.socketpair()
    right.send(b"x")
    try:
        return Machine(loop, left).run(_guarded(program))
    finally:
        loop.close()
        left.close()
        right.close()


def _guarded(program: Program) -> Program:
    """What fails must do so in a callback."""
    return [("soon", program)]
