"""`chatbot backup`: a bot's whole account in one sealed file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatbot.cli.operating import operate
from chatbot.cli.passwords import backup_password
from chatbot.runtime.control.operations import WriteBackup


def backup(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The bot's config.toml.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist.")],
    *,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the backup's password.")
    ] = None,
) -> None:
    """Seal a bot's whole account into one file; the bot may be running."""
    password = backup_password(password_file, confirm=True)
    operate(config, WriteBackup(str(file.expanduser().absolute()), password))
    typer.echo(f"Written: {file}. It opens with its own password, and the account in it with the")
    typer.echo("storage password of now: keep both, and apart from it.")
