"""Dice: roll dice in any chat."""
import random
from typing import Annotated
from chatbot import Bot, Context, Plugin, Range

plugin = Plugin("dice", description="Roll dice")

@plugin.command("roll", aliases=["r"], cooldown="5/10s")
async def roll(ctx: Context, sides: Annotated[int, Range(2, 1000)] = 6, count: int = 1) -> str:
    """Roll COUNT dice with SIDES sides."""
    return " ".join(str(random.randint(1, sides)) for _ in range(count))

@plugin.filter(regex=r"\bgood bot\b", chats="group")
async def thanks(ctx: Context) -> str:
    return "Thank you!"

@plugin.job(cron="0 9 * * mon-fri", misfire="run-once")
async def standup(bot: Bot) -> None:
    await bot.broadcast("team", "Stand-up in 10 minutes")
