"""Help: what there is for whoever asks, where they ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chatbot.plugins.context import CommandInfo, Context
from chatbot.plugins.errors import UsageError
from chatbot.plugins.markers import Rest
from chatbot.plugins.plugin import Plugin
from chatbot.plugins.text import quoted

MAX_LISTED: Final = 100

plugin = Plugin("help", description="Say what there is")


@plugin.command("help", aliases=["commands"], cooldown="10/10s")
async def help_(ctx: Context, command: Rest = "") -> str:
    """Say which commands there are, or how one of them is used."""
    known = [c for c in ctx.bot.commands() if ctx.may(c).outcome != "deny"]
    if not command:
        return _overview(ctx, [c for c in known if not c.hidden])
    name = " ".join(command.casefold().removeprefix(ctx.prefix.casefold()).split())
    found = [c for c in known if name == c.name or name in _aliases(c)]
    below = [c for c in known if c.name.startswith(f"{name} ") and not c.hidden]
    if not found and not below:
        raise UsageError(f"there is no command {quoted(command)}")
    return "\n\n".join(
        (*(_details(ctx, c) for c in found), *([_overview(ctx, below)] if below else []))
    )


def _overview(ctx: Context, commands: Sequence[CommandInfo]) -> str:
    lines = [_line(ctx, command) for command in commands[:MAX_LISTED]]
    if len(commands) > MAX_LISTED:
        lines.append(f"… and {len(commands) - MAX_LISTED} more")
    lines.append(f"{ctx.prefix}help COMMAND says more about one.")
    return "\n".join(lines)


def _line(ctx: Context, command: CommandInfo) -> str:
    summary = f" - {command.summary}" if command.summary else ""
    return f"{ctx.prefix}{command.usage}{summary}"


def _details(ctx: Context, command: CommandInfo) -> str:
    lines = [f"{ctx.prefix}{command.usage}", command.description or command.summary]
    lines += [f"  {argument}" for argument in command.arguments]
    if command.aliases:
        lines.append("also: " + ", ".join(f"{ctx.prefix}{alias}" for alias in _aliases(command)))
    return "\n".join(filter(None, lines))


def _aliases(command: CommandInfo) -> Sequence[str]:
    above = command.name.rpartition(" ")[0]
    return [f"{above} {alias}".strip() for alias in command.aliases]
