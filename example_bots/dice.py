"""Dice: roll dice in any chat. A plugin is one file, if that is all it needs."""

import random
from typing import Annotated

from chatbot import Context, Plugin, Range

plugin = Plugin("dice", description="Roll dice")


@plugin.command("roll", aliases=["r"], cooldown="5/10s")
async def roll(ctx: Context, sides: Annotated[int, Range(2, 1000)] = 6, count: int = 1) -> str:
    """Roll COUNT dice with SIDES sides."""
    return " ".join(str(random.randint(1, sides)) for _ in range(count))
