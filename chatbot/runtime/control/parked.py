"""Messages that were given up (see retries.py), for a person to look at."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from chatbot.client.exceptions import ValidationError
from chatbot.client.storage.message_storage import ConversationKind, MessageStorage
from chatbot.runtime.control.target import Target
from chatbot.runtime.handling import run_key


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedMessage:
    """A message whose handlers kept failing.

    Attributes:
        id: its place in the inbox.
        conversation: the peer's user id, or the group's id.
        sender: who wrote it, by user id.
        received_at: ms.
        attempts: how often it was tried.
        error: what went wrong last, and under which reference the log tells more.
        text: what it says; None in a list.
    """

    id: int
    conversation: str
    kind: ConversationKind
    sender: str
    received_at: int
    attempts: int
    error: str
    text: str | None = field(default=None, repr=False)


_SELECT = (
    "SELECT inbox.seq, conversation, kind, from_user, received_at, attempts, ifnull(error, ''),"
    " {columns} FROM inbox JOIN messages ON messages.seq = message_seq"
    " WHERE state = 'parked' AND inbox.seq {which} ORDER BY inbox.seq"
)


async def parked(target: Target) -> list[ParkedMessage]:
    """All of them, the oldest first."""
    rows = await _rows(target, "> ?", 0)
    return [_parked(row) for row in rows]


async def show(target: Target, seq: int) -> ParkedMessage:
    """One of them with its text.

    Raises:
        ValidationError: there is none with that id.
    """
    rows = await _rows(target, "= ?", seq)
    if not rows:
        raise _unknown(seq)
    message = target.account.messenger.messages.from_row(rows[0][7:])
    return _parked(rows[0], message.content)


async def retry(target: Target, seq: int) -> None:
    """Try it once more: now where the bot runs, else at its next start.

    What its handlers did at once in earlier tries is not done again.

    Raises:
        ValidationError: there is none with that id.
    """

    def unit(connection: sqlite3.Connection) -> int:
        return connection.execute(
            "UPDATE inbox SET state = 'ready', not_before = 0 WHERE seq = ? AND state = 'parked'",
            (seq,),
        ).rowcount

    if not await target.account.database.write(unit):
        raise _unknown(seq)
    if target.parts is not None:
        target.parts.handling.again(seq)


async def drop(target: Target, seq: int) -> None:
    """Never handle it; it stays in the conversation's history.

    Raises:
        ValidationError: there is none with that id.
    """

    def unit(connection: sqlite3.Connection) -> bool:
        found = connection.execute(
            "SELECT 1 FROM inbox WHERE seq = ? AND state = 'parked'", (seq,)
        ).fetchone()
        if found:
            MessageStorage.done(seq)(connection)
            connection.execute("DELETE FROM steps WHERE run = ?", (run_key(seq),))
        return bool(found)

    if not await target.account.database.write(unit):
        raise _unknown(seq)


async def _rows(target: Target, which: str, seq: int) -> list[tuple[Any, ...]]:
    statement = _SELECT.format(columns=MessageStorage.columns, which=which)
    return await target.account.database.read(
        lambda connection: connection.execute(statement, (seq,)).fetchall()
    )


def _parked(row: tuple[Any, ...], text: str | None = None) -> ParkedMessage:
    seq, conversation, kind, sender, received_at, attempts, error, *_ = row
    return ParkedMessage(
        id=seq,
        conversation=conversation,
        kind=kind,
        sender=sender,
        received_at=received_at,
        attempts=attempts,
        error=error,
        text=text,
    )


def _unknown(seq: int) -> ValidationError:
    return ValidationError(
        f"no message {seq} is parked. What to do: see `chatbot inbox CONFIG list`"
    )
