"""Tasks and the task factory (asyncio: Creating Futures and Tasks).

The native `create_task` makes a plain task of a coroutine by itself. With keywords, under a factory, and in debug mode
it calls what is here.

Which keywords `create_task` takes, and which of them a factory sees, changed with 3.14, so it is written once per
contract. No frame keeps a reference to the task on its way out: a failed task keeps its traceback, and a frame in there
would otherwise keep the task.
"""

from __future__ import annotations

import asyncio
import sys
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextvars import Context
    from typing import Any, TypeAlias, TypeVar

    from ._loop import EventLoop

    _T = TypeVar("_T")
    TaskFactory: TypeAlias = Callable[..., "asyncio.Future[Any]"]
    _Coroutine: TypeAlias = Generator[Any, None, _T] | Coroutine[Any, Any, _T]


def get_task_factory(loop: EventLoop) -> TaskFactory | None:
    """Return the task factory, None if tasks are plain `asyncio.Task`s."""
    return loop._task_factory


def set_task_factory(loop: EventLoop, factory: TaskFactory | None) -> None:
    """Let `factory(loop, coro, ...)` make the tasks; None restores the default.

    Raises TypeError if `factory` is neither callable nor None.
    """
    if factory is not None and not callable(factory):
        raise TypeError("task factory must be a callable or None")
    loop._task_factory = factory


def _create_by_keywords(loop: EventLoop, coro: _Coroutine[_T], **kwargs: Any) -> asyncio.Task[_T]:
    """Schedule `coro` as a task, or begin executing it if the factory or `eager_start` says so.

    All keywords (`name`, `context`, `eager_start`) go to the factory, or to `asyncio.Task`. Raises RuntimeError if the
    loop is closed.
    """
    loop._check_closed()
    if loop._task_factory is None:
        return _plain_task(loop, coro, **kwargs)
    return loop._task_factory(loop, coro, **kwargs)  # type: ignore[return-value]


def _create_named(
    loop: EventLoop, coro: _Coroutine[_T], *, name: str | None = None, context: Context | None = None, **kwargs: Any
) -> asyncio.Task[_T]:
    """Schedule `coro` as a task.

    A factory gets `context` only if there is one, and never `name`: its result is named afterwards. Further keywords
    are for the task, from 3.13.4 on. Raises RuntimeError if the loop is closed.
    """
    if kwargs and sys.version_info < (3, 13, 4):
        raise TypeError(f"create_task() got an unexpected keyword argument {next(iter(kwargs))!r}")
    loop._check_closed()
    if loop._task_factory is None:
        return _plain_task(loop, coro, name=name, context=context, **kwargs)
    if context is not None:
        kwargs["context"] = context
    task: Any = loop._task_factory(loop, coro, **kwargs)
    try:
        if name is not None:
            _set_name(task, name)
        return task  # type: ignore[no-any-return]
    finally:
        del task


def _plain_task(loop: EventLoop, coro: _Coroutine[_T], **kwargs: Any) -> asyncio.Task[_T]:
    task: Any = asyncio.tasks.Task(coro, loop=loop, **kwargs)  # type: ignore[arg-type, unused-ignore]
    try:
        if task._source_traceback:
            del task._source_traceback[-2:]  # frames of this module: the user's is the last one
        return task  # type: ignore[no-any-return]
    finally:
        del task


def _set_name(task: Any, name: str) -> None:
    if sys.version_info < (3, 13) and not hasattr(task, "set_name"):
        warnings.warn(
            "Task.set_name() was added in Python 3.8, the method support will be mandatory for third-party "
            "task implementations since 3.13.",
            DeprecationWarning,
            stacklevel=3,
        )
    else:
        task.set_name(name)


# 3.13.3 had the contract of 3.14 already; 3.13.4 took it back.
if sys.version_info >= (3, 14):
    create_task = _create_by_keywords
else:
    create_task = _create_by_keywords if sys.version_info[:3] == (3, 13, 3) else _create_named
create_task.__qualname__ = "create_task"  # for the texts of wrong calls
