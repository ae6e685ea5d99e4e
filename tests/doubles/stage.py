"""A backend, a bot with plugins that the test writes down, and people who talk to it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

from chatbot.runtime.runtime import BotRuntime
from chatbot.testing.world import ChatWorld

_HEADER = """
from __future__ import annotations
import asyncio
import os
from dataclasses import dataclass
from chatbot import *
plugin = Plugin({name!r})
"""


class Stage(ChatWorld):
    """A world whose plugins are files beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "world")
        self.folder = folder

    def write(self, name: str, source: str) -> str:
        """Write a plugin's file; returns how it is listed."""
        file = self.folder / f"{name}.py"
        file.write_text(_HEADER.format(name=name) + dedent(source))
        return f"./{name}.py"

    async def play(self, source: str, **options: Any) -> BotRuntime:
        """Start the bot with one plugin, called `play`."""
        return await self.start_bot([self.write("play", source)], base=self.folder, **options)
