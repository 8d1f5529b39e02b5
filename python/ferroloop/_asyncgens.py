"""Asynchronous generators: the hooks that note them and finish them, and their shutdown (PEP 525)."""

from __future__ import annotations

import asyncio
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from typing import Any, TypeAlias

    from ._loop import EventLoop

    _Generator: TypeAlias = AsyncGenerator[Any, Any]


def _asyncgen_firstiter_hook(loop: EventLoop, agen: _Generator) -> None:
    """Note a generator that is iterated for the first time while the loop runs."""
    if loop._asyncgens_shutdown_called:
        warnings.warn(
            f"asynchronous generator {agen!r} was scheduled after loop.shutdown_asyncgens() call",
            ResourceWarning,
            stacklevel=2,
            source=loop,
        )
    loop._asyncgens.add(agen)


def _asyncgen_finalizer_hook(loop: EventLoop, agen: _Generator) -> None:
    """Close a generator that was dropped unfinished. Runs wherever the collector does: in any thread."""
    loop._asyncgens.discard(agen)
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.create_task, agen.aclose())


async def shutdown_asyncgens(loop: EventLoop) -> None:
    """Close all asynchronous generators that are still open, and warn of those begun from now on.

    Errors of their cleanup code go to the exception handler.
    """
    loop._asyncgens_shutdown_called = True
    closing = list(loop._asyncgens)
    if not closing:
        return
    loop._asyncgens.clear()
    results = await asyncio.gather(*(agen.aclose() for agen in closing), return_exceptions=True)
    for agen, result in zip(closing, results, strict=True):
        if isinstance(result, Exception):
            loop.call_exception_handler(
                {
                    "message": f"an error occurred during closing of asynchronous generator {agen!r}",
                    "exception": result,
                    "asyncgen": agen,
                }
            )
