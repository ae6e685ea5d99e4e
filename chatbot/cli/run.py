"""`chatbot run`: one bot or several, until Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from chatbot.cli.bots import BotConfig, RunningBot
from chatbot.cli.signals import stop_requested, until_stopped
from chatbot.client.crypto.identity import format_fingerprint
from chatbot.client.logs import configure_logging
from chatbot.settings import load_settings
from chatbot.version import __version__

_ALLOCATIONS: Final = 20_000
"""Objects made and not freed, after which the collector looks at the youngest."""

logger = logging.getLogger(__name__)


def run(
    configs: Annotated[
        list[Path], typer.Argument(metavar="CONFIG", help="The config.toml of each bot.")
    ],
    *,
    reload: Annotated[
        bool, typer.Option("--reload", help="Reload plugins when their files change.")
    ] = False,
) -> None:
    """Run bots until Ctrl-C.

    A bot's password comes from CHATBOT_PASSWORD, the password_file of its configuration, or a
    prompt. Any value of the configuration can come from the environment: CHATBOT_SERVER__URL.
    """
    if reload and find_spec("watchfiles") is None:
        raise typer.BadParameter("--reload needs watchfiles: pip install 'ratchetbot[reload]'")
    bots = [BotConfig.of(config, load_settings(config)) for config in configs]
    _check_apart(bots)
    log = bots[0].settings.logging
    configure_logging(log.level, log.file)
    asyncio.run(_run(bots, reload=reload))


def _check_apart(bots: Sequence[BotConfig]) -> None:
    """Make sure that no two of them are one account, or would write one backend's database.

    Raises:
        BadParameter: two of them would.
    """
    for first, second in combinations(bots, 2):
        one, other = first.settings, second.settings
        if one.storage.path.resolve() != other.storage.path.resolve():
            continue
        backends = (one.server.embedded, other.server.embedded)
        if all(backends) or (one.bot.name, one.server.url) == (other.bot.name, other.server.url):
            raise typer.BadParameter(
                f"{first.file} and {second.file} keep the same files in {one.storage.path}; "
                "give each bot a [storage] path of its own"
            )


async def _run(configs: list[BotConfig], *, reload: bool) -> None:
    with stop_requested() as stop:
        async with AsyncExitStack() as stack:
            bots = await until_stopped(stop, _start(configs, stack))
            if bots is not None:
                _settle_memory()
                await run_apart(bots, stop, reload=reload)
    typer.echo("Stopped")


async def _start(configs: Sequence[BotConfig], stack: AsyncExitStack) -> list[RunningBot]:
    bots = []
    for config in configs:
        bots.append(await stack.enter_async_context(RunningBot(config)))
        typer.echo(_introduction(bots[-1]))
    return bots


async def run_apart(bots: Sequence[RunningBot], stop: asyncio.Event, *, reload: bool) -> None:
    """Let all of them run until they are to stop; where one cannot go on, the others do.

    Raises:
        StorageError: a bot's disk has failed; raised once no bot runs any more.
    """
    ends = await asyncio.gather(*(_run_one(bot, stop, reload=reload) for bot in bots))
    for error in ends:
        if error is not None:
            raise error


async def _run_one(bot: RunningBot, stop: asyncio.Event, *, reload: bool) -> Exception | None:
    """Wait until it is to stop; where it cannot go on, stop it and return why."""
    asked = asyncio.ensure_future(stop.wait())
    watching = [asyncio.ensure_future(bot.runtime.watch())] if reload else []
    ends: list[asyncio.Future[Any]] = [asked, bot.runtime.failed, *watching]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (asked, *watching):
            task.cancel()
        ended = await asyncio.gather(*watching, return_exceptions=True)
    failed = [bot.runtime.failed.result()] if bot.runtime.failed.done() else []
    error = next((e for e in (*failed, *ended) if isinstance(e, Exception)), None)
    if error is not None:
        logger.error("%s cannot go on: %s", bot.config.settings.bot.name, error)
        await bot.stop()
    return error


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


def _settle_memory() -> None:
    """Spare the collector what lives as long as the process, and let it run less often.

    A message makes a few hundred objects that reference counting frees: with the defaults, a
    quarter of a busy bot's time went into looking for cycles among them (benchmarks/echo.py).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, *gc.get_threshold()[1:])
