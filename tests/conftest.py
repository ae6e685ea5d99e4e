"""What all tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import hypothesis
import pytest

# How busy the machine is must not decide whether a test passes.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Undo what a test configures about logging."""
    loggers = [logging.getLogger(n) for n in ("aiohttp", "aiosqlite", "asyncio", "websockets")]
    levels = {logger: logger.level for logger in (logging.root, *loggers)}
    handlers = list(logging.root.handlers)
    yield
    for handler in set(logging.root.handlers) - set(handlers):
        handler.close()
    logging.root.handlers[:] = handlers
    for logger, level in levels.items():
        logger.setLevel(level)
