"""The `asyncio` logger as a list."""

import logging


class LogList(logging.Handler):
    """Keeps every record of the `asyncio` logger while installed."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self._texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self._texts.append(record.getMessage())  # now: reprs of loops and transports change

    def texts(self, level: int | None = None) -> list[str]:
        """The messages as they read when logged, of one level or of all."""
        pairs = zip(self.records, self._texts, strict=True)
        return [text for record, text in pairs if level in (None, record.levelno)]

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
