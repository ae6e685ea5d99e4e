"""`chatbot run`: one bot or several, until Ctrl-C."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from chatbot.cli.bots import BotConfig, RunningBot
from chatbot.cli.signals import stop_requested
from chatbot.client.crypto.identity import format_fingerprint
from chatbot.client.logs import configure_logging
from chatbot.settings import load_settings
from chatbot.version import __version__


def run(
    configs: Annotated[
        list[Path], typer.Argument(metavar="CONFIG...", help="The config.toml of each bot.")
    ],
) -> None:
    """Run bots until Ctrl-C."""
    bots = [BotConfig.of(config, load_settings(config)) for config in configs]
    log = bots[0].settings.logging
    configure_logging(log.level, log.file)
    asyncio.run(_run(bots))


async def _run(configs: list[BotConfig]) -> None:
    with stop_requested() as stop:
        async with AsyncExitStack() as stack:
            bots = []
            for config in configs:
                bots.append(await stack.enter_async_context(RunningBot(config)))
                typer.echo(_introduction(bots[-1]))
            await _end_of(bots, stop)
    typer.echo("Stopped")


async def _end_of(bots: Sequence[RunningBot], stop: asyncio.Event) -> None:
    """Wait until they are to stop.

    Raises:
        StorageError: one of them cannot go on, for its disk has failed.
    """
    asked = asyncio.ensure_future(stop.wait())
    failures = [bot.runtime.failed for bot in bots]
    ends: list[asyncio.Future[Any]] = [asked, *failures]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
    for failure in failures:
        if failure.done():
            raise failure.result()


def _introduction(bot: RunningBot) -> str:
    """Who the bot is, how to be sure of it, and how to talk to it."""
    name, prefix = bot.runtime.user.username, bot.config.settings.bot.prefix
    lines = [
        f"chatbot {__version__}: {name} on {bot.url}",
        f"  fingerprint: {format_fingerprint(bot.runtime.fingerprint)}",
        f"  talk to it:  chatbot chat --server {bot.url} --as NAME --to {name} --register",
        f"  and type:    {prefix}help",
    ]
    if bot.endpoint is not None:
        lines.append(f"  watch it:    {bot.endpoint.url}/metrics")
    return "\n".join(lines)
