"""`chatbot restore`: an account from a backup, into a storage that does not have it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from chatbot.cli.passwords import backup_password
from chatbot.client.client import WhatsAppClient
from chatbot.settings import load_settings


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The bot's config.toml.")],
    *,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the backup's password.")
    ] = None,
) -> None:
    """Put an account back from a backup; what is there already is never overwritten."""
    settings = load_settings(config)
    password = backup_password(password_file, confirm=False)
    user = asyncio.run(WhatsAppClient.restore(file, password, settings.storage.path))
    typer.echo(f"Restored: {user.username} in {settings.storage.path}")
    typer.echo("Its next start establishes all sessions anew. Never start the old copy again.")
    if user.username != settings.bot.name:
        typer.echo(f"Warning: {config} is the configuration of {settings.bot.name}", err=True)
