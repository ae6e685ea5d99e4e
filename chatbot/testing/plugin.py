"""The pytest fixtures. Override `bot_plugins` and `bot_options` for a bot of your own.

pytest loads this wherever the package is installed, so nothing heavy is imported before a test
asks for a fixture.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from chatbot.runtime.runtime import BotRuntime
    from chatbot.testing.world import ChatWorld, Person


@pytest.fixture
def bot_plugins() -> list[str]:
    """What the bot loads: modules, entry points or files. Nothing beside the built-in ones."""
    return []


@pytest.fixture
def bot_options() -> dict[str, Any]:
    """Keyword arguments of `ChatWorld.start_bot`, e.g. `{"prefix": "!"}`."""
    return {}


@pytest_asyncio.fixture
async def chat_world(tmp_path: Path) -> AsyncIterator[ChatWorld]:
    """A backend, with nobody on it."""
    from chatbot.testing.world import ChatWorld  # noqa: PLC0415 - see above

    async with ChatWorld(tmp_path) as world:
        yield world


@pytest_asyncio.fixture
async def bot(
    chat_world: ChatWorld, bot_plugins: list[str], bot_options: dict[str, Any]
) -> BotRuntime:
    """The bot, running."""
    return await chat_world.start_bot(bot_plugins, **bot_options)


@pytest_asyncio.fixture
async def alice(chat_world: ChatWorld, bot: BotRuntime) -> Person:
    """Somebody who talks to the bot."""
    del bot  # it has to be there
    return await chat_world.person("alice")


@pytest_asyncio.fixture
async def bob(chat_world: ChatWorld, bot: BotRuntime) -> Person:
    """Somebody else."""
    del bot
    return await chat_world.person("bob")


@pytest_asyncio.fixture
async def carol(chat_world: ChatWorld, bot: BotRuntime) -> Person:
    """A third."""
    del bot
    return await chat_world.person("carol")
