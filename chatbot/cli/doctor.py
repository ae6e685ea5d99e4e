"""`chatbot doctor`: what is wrong with a bot, and what to do about each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from chatbot.cli.errors import ExitCode
from chatbot.cli.operating import StoredBot
from chatbot.client.exceptions import WhatsAppClientError
from chatbot.client.logs import escaped
from chatbot.runtime.control.files import examine_files
from chatbot.runtime.control.findings import Finding
from chatbot.runtime.control.operations import Examine
from chatbot.server import ServerError


def doctor(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The bot's config.toml.")],
) -> None:
    """Look for what is wrong with a bot, and say what to do; exits 1 if there is anything."""
    bot = StoredBot.of(config)
    findings = examine_files(bot.settings.storage.path, bot.directory)
    findings += asyncio.run(_examine(bot))
    _tell(findings)
    if any(finding.advice is not None for finding in findings):
        raise typer.Exit(ExitCode.FAILURE)


async def _examine(bot: StoredBot) -> list[Finding]:
    try:
        return await bot.do(Examine())
    except (WhatsAppClientError, ServerError) as error:
        state, _, advice = str(error).partition(" What to do: ")
        return [Finding("account", state, advice or "see the message")]


def _tell(findings: Iterable[Finding]) -> None:
    for finding in findings:
        mark = "ok" if finding.advice is None else "!!"
        typer.echo(f"{mark}  {finding.subject}: {escaped(finding.state)}")
        if finding.advice is not None:
            typer.echo(f"      What to do: {escaped(finding.advice)}")
