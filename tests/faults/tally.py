"""The plugin of the bot that is killed: every way in which a handler can leave something behind."""

from __future__ import annotations

import json

from chatbot import Context, DialogEnded, Plugin

plugin = Plugin("tally", description="Counts what comes")


@plugin.command("n")
async def number(ctx: Context, number: int) -> str:
    """Count a message: at once, and with its end."""
    await ctx.store.incr("total")
    handled: list[int] = await ctx.state.get("handled", list[int], [])
    await ctx.state.set("handled", [*handled, number])
    return f"re {number}"


@plugin.command("form")
async def form(ctx: Context, number: int) -> str:
    """Ask two questions."""
    await ctx.store.incr("begun")
    try:
        name = await ctx.ask(f"form {number}: name?", timeout="60s")
        age = await ctx.ask(f"form {number}: age?", int, timeout="60s")
    except DialogEnded:
        await ctx.store.incr("told")
        raise
    await ctx.store.incr("finished")
    return f"form {number}: {name} is {age}"


@plugin.command("tally")
async def tally(ctx: Context) -> str:
    """What was counted, of all and of this conversation."""
    counts = {
        key: await ctx.store.get(key, int, 0) for key in ("total", "begun", "told", "finished")
    }
    return json.dumps({**counts, "handled": await ctx.state.get("handled", list[int], [])})
