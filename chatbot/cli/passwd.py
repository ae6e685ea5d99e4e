"""`chatbot passwd`: another password for what is on the disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from chatbot.cli.operating import StoredBot
from chatbot.cli.passwords import STORAGE_PASSWORD, new_storage_password
from chatbot.runtime.control.operations import ChangePassword


def passwd(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The bot's config.toml.")],
    *,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the new password.")
    ] = None,
) -> None:
    """Change the password of what is on the disk; the bot may be running.

    The account's password on the backend stays as it is: the backend has no call to change it.
    """
    bot = StoredBot.of(config)
    old = bot.password()
    new = new_storage_password(password_file)
    asyncio.run(bot.do(ChangePassword(old, new)))
    typer.echo("Changed. The next start needs the new one:")
    typer.echo(f"give it in {STORAGE_PASSWORD}, or in [storage] password_file.")
    typer.echo("Copies and backups made before still open with the old one.")
