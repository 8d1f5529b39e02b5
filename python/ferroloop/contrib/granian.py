"""granian on ferroloop: `python -m ferroloop.contrib.granian --interface asgi app:app`, with all of granian's options.

A program that has its own `granian.Granian` imports this module at its top, outside of `if __name__ == "__main__"`: the
server's workers are processes that import the program again, and so have ferroloop too.
"""

import asyncio

from granian import loops

from .._loop import EventLoop
from .._runner import new_event_loop


@loops.register("auto")  # type: ignore[untyped-decorator, unused-ignore]  # where granian is not installed
def build_loop() -> EventLoop:
    """The loop of a worker. granian asks for it by the name `auto`, which is its default."""
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


if __name__ == "__main__":
    from granian.cli import entrypoint

    entrypoint()
