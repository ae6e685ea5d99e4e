"""A backend, and a bot with the plugins that a test is about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chatbot.testing import ChatWorld


@pytest.fixture
async def chat_world(tmp_path: Path) -> AsyncIterator[ChatWorld]:
    """Nobody is on it yet."""
    async with ChatWorld(tmp_path) as world:
        yield world
