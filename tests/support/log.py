"""The `asyncio` logger as a list."""

import logging

SLOW = "Executing %s took %.3f seconds"


class LogList(logging.Handler):
    """Keeps every record of the `asyncio` logger while installed."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._told: list[tuple[logging.LogRecord, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append((record, record.getMessage()))  # now: reprs of loops and transports change

    @property
    def records(self) -> list[logging.LogRecord]:
        """As they were given."""
        return [record for record, _ in self._told]

    def texts(self, level: int | None = None, *, slow: bool = False) -> list[str]:
        """The messages as they read when logged, of one level or of all.

        That a callback took long (S8.6) says something of the machine: whom it concerns asks for it by `slow`.
        """
        told = [(record.levelno, text) for record, text in self._told if slow or record.msg != SLOW]
        return [text for its, text in told if level in (None, its)]

    def install(self) -> None:
        """Listen, from DEBUG up."""
        logger = logging.getLogger("asyncio")
        self._level = logger.level
        logger.setLevel(logging.DEBUG)
        logger.addHandler(self)

    def remove(self) -> None:
        """Stop listening and put the level back."""
        logger = logging.getLogger("asyncio")
        logger.removeHandler(self)
        logger.setLevel(self._level)
