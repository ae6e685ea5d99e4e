"""`chatbot inbox`: messages whose handlers kept failing, until they were given up."""

from __future__ import annotations

import enum
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from chatbot.cli.operating import operate
from chatbot.client.exceptions import ValidationError
from chatbot.client.logs import escaped
from chatbot.runtime.control.operations import DropParked, ListParked, RetryParked, ShowParked
from chatbot.runtime.control.parked import ParkedMessage


class Action(enum.StrEnum):
    """What is done to them."""

    LIST = "list"
    SHOW = "show"
    RETRY = "retry"
    DROP = "drop"


def inbox(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The bot's config.toml.")],
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.LIST,
    number: Annotated[
        int | None, typer.Argument(metavar="ID", help="Which message, as the list shows it.")
    ] = None,
) -> None:
    """Look at messages that were given up; retry or drop them. The bot may be running."""
    if action is Action.LIST:
        messages = operate(config, ListParked())
        typer.echo("\n".join(map(_line, messages)) or "No message is parked")
        return
    if number is None:
        raise ValidationError(
            f"Which message? What to do: `chatbot inbox {config} {action} ID`, with an ID of "
            f"`chatbot inbox {config} list`"
        )
    match action:
        case Action.SHOW:
            typer.echo(_page(operate(config, ShowParked(number))))
        case Action.RETRY:
            operate(config, RetryParked(number))
            typer.echo(f"Message {number} is tried once more: now, or when the bot starts")
        case Action.DROP:
            operate(config, DropParked(number))
            typer.echo(f"Message {number} is dropped; it stays in the conversation's history")


def _line(message: ParkedMessage) -> str:
    return (
        f"{message.id:>6}  {_when(message)}  {escaped(message.sender)}"
        f"  {message.attempts} tries  {escaped(message.error)}"
    )


def _page(message: ParkedMessage) -> str:
    facts = {
        "message": str(message.id),
        "received": _when(message),
        "from": message.sender,
        "in": f"{message.kind} chat {message.conversation}",
        "tried": f"{message.attempts} times",
        "failed": message.error,
        "says": message.text or "",
    }
    return "\n".join(f"{name + ':':<10}{escaped(value)}" for name, value in facts.items())


def _when(message: ParkedMessage) -> str:
    at = datetime.fromtimestamp(message.received_at / 1000).astimezone()
    return at.isoformat(" ", "seconds")
