"""`chatbot inbox`: messages and job runs that kept failing, until they were given up."""

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
from chatbot.runtime.control.parked import Parked


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
        str | None, typer.Argument(metavar="ID", help="Which one, as the list shows it.")
    ] = None,
) -> None:
    """Look at messages and job runs that were given up; retry or drop them.

    The bot may be running.
    """
    if action is Action.LIST:
        found = operate(config, ListParked())
        typer.echo("\n".join(map(_line, found)) or "Nothing is parked")
        return
    if number is None:
        raise ValidationError(
            f"Which one? What to do: `chatbot inbox {config} {action} ID`, with an ID of "
            f"`chatbot inbox {config} list`"
        )
    match action:
        case Action.SHOW:
            typer.echo(_page(operate(config, ShowParked(number))))
        case Action.RETRY:
            operate(config, RetryParked(number))
            typer.echo(f"{number} is tried once more: now, or when the bot starts")
        case Action.DROP:
            operate(config, DropParked(number))
            typer.echo(f"{number} is dropped; a message stays in the conversation's history")


def _line(parked: Parked) -> str:
    return (
        f"{parked.id:>6}  {_when(parked)}  {escaped(parked.sender or parked.where)}"
        f"  {parked.attempts} tries  {escaped(parked.error)}"
    )


def _page(parked: Parked) -> str:
    if parked.sender is None:
        facts = {
            "run": parked.id,
            "of job": parked.where,
            "meant for": _when(parked),
            "with": parked.text or "",
        }
    else:
        facts = {
            "message": parked.id,
            "received": _when(parked),
            "from": parked.sender,
            "in": f"{parked.kind} chat {parked.where}",
            "says": parked.text or "",
        }
    facts |= {"tried": f"{parked.attempts} times", "failed": parked.error}
    return "\n".join(f"{name + ':':<11}{escaped(value)}" for name, value in facts.items())


def _when(parked: Parked) -> str:
    at = datetime.fromtimestamp(parked.at / 1000).astimezone()
    return at.isoformat(" ", "seconds")
