"""Echo: says again what it is told."""

from __future__ import annotations

from chatbot import Plugin, Rest

plugin = Plugin("echo", description="Say things again")


@plugin.command("echo", aliases=["say"])
async def echo(text: Rest) -> str:
    """Say TEXT again."""
    return text
