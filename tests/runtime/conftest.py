"""A backend, a bot with plugins that the test writes down, and people who talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles.stage import Stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Nobody is on it yet."""
    async with Stage(tmp_path) as it:
        yield it
