"""What is logged, as something to wait for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager


class LogLines(logging.Handler):
    """Every line since it was made."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self._more = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line; of the event loop's own thread."""
        self.lines.append(record.getMessage())
        self._more.set()

    async def until(self, part: str, times: int = 1) -> None:
        """Wait until so many lines hold this."""
        async with asyncio.timeout(10):
            while sum(part in line for line in self.lines) < times:
                self._more.clear()
                await self._more.wait()


@contextmanager
def log_lines(name: str) -> Iterator[LogLines]:
    """Listen to a logger and those below it."""
    handler, logger = LogLines(), logging.getLogger(name)
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
