"""aiohttp under gunicorn on ferroloop: `gunicorn -k ferroloop.contrib.aiohttp.GunicornWebWorker app:application`.

Without gunicorn aiohttp needs no glue: `web.run_app(app, loop=ferroloop.new_event_loop())`.
"""

from aiohttp.worker import GunicornWebWorker as _GunicornWebWorker

from .._activate import activate


class GunicornWebWorker(_GunicornWebWorker):
    """A worker process of gunicorn that serves an aiohttp application."""

    def init_process(self) -> None:
        """Called in the worker after the fork; aiohttp then asks asyncio for a loop."""
        activate()
        super().init_process()
