"""`chatbot trust`: somebody's identity has changed, and a person is sure that it is theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatbot.cli.operating import operate
from chatbot.client.crypto.identity import format_fingerprint
from chatbot.runtime.control.operations import Trust


def trust(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The bot's config.toml.")],
    peer: Annotated[str, typer.Argument(metavar="PEER", help="A user id or an exact user name.")],
    *,
    fingerprint: Annotated[
        str | None, typer.Option(metavar="FINGERPRINT", help="Trust this one and no other.")
    ] = None,
) -> None:
    """Trust somebody's changed identity as the old one was; the bot may be running."""
    trusted = operate(config, Trust(peer, fingerprint))
    typer.echo(f"{peer} is trusted with the fingerprint {format_fingerprint(trusted)}")
