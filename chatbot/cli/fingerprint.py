"""`chatbot fingerprint`: what people compare with a bot's fingerprint on their screens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatbot.client.crypto.identity import format_fingerprint
from chatbot.client.exceptions import ValidationError
from chatbot.client.qr_code import FingerprintQR
from chatbot.client.storage.key_storage import stored_fingerprint
from chatbot.client.storage.paths import AccountIndex, directory_name
from chatbot.settings import BotSettings, load_settings


def fingerprint(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The bot's config.toml.")],
    *,
    qr: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it as a QR code, e.g. bot.png or bot.svg."),
    ] = None,
) -> None:
    """Show a bot's fingerprint; the bot must have been started before, and may be running."""
    settings = load_settings(config)
    found = _find(settings)
    if found is None:
        raise ValidationError(
            f"{settings.bot.name} has no fingerprint yet. What to do: start it once with"
            f" `chatbot run {config}`"
        )
    typer.echo(format_fingerprint(found))
    if qr is not None:
        FingerprintQR(found).save(qr)


def _find(settings: BotSettings) -> str | None:
    url = None if settings.server.embedded else settings.server.url
    user_id = AccountIndex(settings.storage.path).find(url, settings.bot.name)
    if user_id is None:
        return None
    return stored_fingerprint(settings.storage.path / directory_name(user_id))
