"""gunicorn's own ASGI worker on ferroloop: `gunicorn -k ferroloop.contrib.gunicorn.ASGIWorker app:app`."""

from gunicorn.workers.gasgi import ASGIWorker as _ASGIWorker

from .._activate import activate


class ASGIWorker(_ASGIWorker):  # type: ignore[misc, unused-ignore]  # gunicorn has no annotations
    """A worker process of gunicorn. The setting `asgi_loop` is not looked at; all others are."""

    def init_process(self) -> None:
        """Called in the worker after the fork."""
        activate()
        # "asyncio" is whatever asyncio.new_event_loop() makes; "auto" would prefer uvloop where it is installed.
        self.cfg.set("asgi_loop", "asyncio")
        super().init_process()
