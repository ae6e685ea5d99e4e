"""Ping: is the bot there?"""

from __future__ import annotations

from chatbot.plugins.plugin import Plugin

plugin = Plugin("ping", description="Is the bot there?")


@plugin.command("ping", cooldown="5/10s")
async def ping() -> str:
    """Answer, if the bot is there."""
    return "pong"
