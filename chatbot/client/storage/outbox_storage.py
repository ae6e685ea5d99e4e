"""What is to be sent, from the moment somebody asked for it until it is settled.

The text itself lies in `messages`, sealed; a row here says how far it has got:

* `queued`: not on the socket yet;
* `sending`: the socket has it, the backend has not echoed it;
* `sent`: echoed, but the peer was offline: it goes out again when the peer returns (4.2.8);
* `delivered`: kept for the 30 s in which it may have to be sent once more (4.2.3);
* `failed`: it cannot be sent (no such user, no keys, too old); kept for the report.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from chatbot.client.models import Message, MessageStatus

from .batch import Unit
from .database import Database
from .message_storage import ConversationKind, MessageStorage

OutboxState = Literal["queued", "sending", "sent", "delivered", "failed"]

_COLUMNS: Final = (
    "outbox.seq, outbox.state, outbox.session_id, outbox.carries_x3dh, outbox.sent_at,"
    " outbox.expires_at"
)


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A message of ours and how far it has got.

    Attributes:
        session_id: the session it went out in last, or None while it has not.
        sent_at: ms; when the socket took it last.
        expires_at: ms; when it is given up.
    """

    seq: int
    state: OutboxState
    session_id: str | None
    carries_x3dh: bool
    sent_at: int
    expires_at: int
    message: Message


class OutboxStorage:
    """Reads and writes `outbox`, and the messages behind it."""

    def __init__(self, database: Database, messages: MessageStorage, *, me: str) -> None:
        self._me = me
        self._database = database
        self._messages = messages

    def enqueue(self, message: Message, *, now: int, expires_at: int) -> Unit[bool]:
        """Store a message and queue it; the unit returns False if its id is there already."""
        kind, recipient = _address(message)
        store = self._messages.store(message, recipient, now)

        def write(connection: sqlite3.Connection) -> bool:
            cursor = connection.execute(
                "INSERT OR IGNORE INTO outbox"
                " (id, recipient, kind, state, created_at, expires_at)"
                " SELECT ?1, ?2, ?3, 'queued', ?4, ?5 WHERE NOT EXISTS"
                " (SELECT 1 FROM messages WHERE from_user = ?6 AND id = ?1)",
                (message.id, recipient, kind, now, expires_at, message.from_user),
            )
            if cursor.rowcount != 1:
                return False
            store(connection)
            return True

        return write

    @staticmethod
    def transmitted(
        message_id: str, *, session_id: str | None, carries_x3dh: bool, now: int
    ) -> Unit[None]:
        """The socket is about to take a message."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE outbox SET state = 'sending', session_id = ?, carries_x3dh = ?,"
                " sent_at = ?, attempts = attempts + 1 WHERE id = ?",
                (session_id, carries_x3dh, now, message_id),
            )

        return write

    @staticmethod
    def settle(message_id: str, state: OutboxState) -> Unit[bool]:
        """Move a row to the state its echo or the history tells; False if there is none."""

        def write(connection: sqlite3.Connection) -> bool:
            return (
                connection.execute(
                    "UPDATE outbox SET state = ? WHERE id = ?", (state, message_id)
                ).rowcount
                > 0
            )

        return write

    @staticmethod
    def withdraw(message: Message) -> Unit[None]:
        """Forget a message that never reached the socket, as if it had not been asked for."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM outbox WHERE id = ?", (message.id,))
            connection.execute(
                "DELETE FROM messages WHERE from_user = ? AND id = ?",
                (message.from_user, message.id),
            )

        return write

    @staticmethod
    def purge(now: int, kept: int) -> Unit[None]:
        """Drop what was delivered, sent longer ago than is kept (ms), or by a clock ahead of it."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM outbox WHERE state = 'delivered' AND sent_at NOT BETWEEN ? AND ?",
                (now - kept, now),
            )

        return write

    def expire(self, now: int) -> Unit[list[Message]]:
        """Give up what is too old (ms) and not on its way; the unit returns it."""
        where = "outbox.state IN ('queued', 'sent') AND outbox.expires_at <= ?"

        def write(connection: sqlite3.Connection) -> list[Message]:
            rows = connection.execute(
                f"SELECT {self._messages.columns} FROM outbox JOIN messages"  # noqa: S608
                f" ON messages.id = outbox.id AND messages.from_user = ? WHERE {where}",
                (self._me, now),
            )
            expired = [self._messages.from_row(row) for row in rows]
            connection.execute(f"UPDATE outbox SET state = 'failed' WHERE {where}", (now,))  # noqa: S608
            return expired

        return write

    async def recipients(self, states: Sequence[OutboxState]) -> list[tuple[ConversationKind, str]]:
        """Who has messages in one of these states, longest waiting first.

        Asked behind everything that is on its way to the disk.
        """

        def query(connection: sqlite3.Connection) -> list[tuple[ConversationKind, str]]:
            return connection.execute(
                "SELECT kind, recipient FROM outbox"  # noqa: S608 - only question marks are added
                f" WHERE state IN ({_marks(states)}) GROUP BY kind, recipient ORDER BY min(seq)",
                tuple(states),
            ).fetchall()

        return await self._database.write(query)

    async def statuses(
        self, message_ids: Sequence[str]
    ) -> dict[str, MessageStatus | Literal["failed"]]:
        """How far messages of ours have got, by id; ids that are not ours are left out."""
        ids = msgspec.json.encode(list(message_ids)).decode()

        def query(
            connection: sqlite3.Connection,
        ) -> dict[str, MessageStatus | Literal["failed"]]:
            return dict(
                connection.execute(
                    "SELECT messages.id, iif(outbox.state = 'failed', 'failed', messages.status)"
                    " FROM json_each(?1) JOIN messages"
                    " ON messages.id = json_each.value AND messages.from_user = ?2"
                    " LEFT JOIN outbox ON outbox.id = messages.id",
                    (ids, self._me),
                )
            )

        return await self._database.read(query)

    async def entries(
        self, kind: ConversationKind, recipient: str, states: Sequence[OutboxState]
    ) -> list[OutboxEntry]:
        """Like `select`, asked behind everything that is on its way to the disk."""
        return await self._database.write(self.select(kind, recipient, states))

    def select(
        self, kind: ConversationKind, recipient: str, states: Sequence[OutboxState]
    ) -> Unit[list[OutboxEntry]]:
        """Read a recipient's messages in these states, in the order they were asked for."""

        def query(connection: sqlite3.Connection) -> list[OutboxEntry]:
            rows = connection.execute(
                f"SELECT {_COLUMNS}, {self._messages.columns} FROM outbox"  # noqa: S608
                " JOIN messages ON messages.id = outbox.id AND messages.from_user = ?"
                " WHERE outbox.kind = ? AND outbox.recipient = ?"
                f" AND outbox.state IN ({_marks(states)})"
                " ORDER BY outbox.seq",
                (self._me, kind, recipient, *states),
            )
            return [self._entry(row) for row in rows]

        return query

    def _entry(self, row: tuple[Any, ...]) -> OutboxEntry:
        seq, state, session_id, carries_x3dh, sent_at, expires_at, *message = row
        return OutboxEntry(
            seq,
            state,
            session_id,
            bool(carries_x3dh),
            sent_at,
            expires_at,
            self._messages.from_row(tuple(message)),
        )


def _address(message: Message) -> tuple[ConversationKind, str]:
    if message.group_id is not None:
        return "group", message.group_id
    return "direct", message.to_user


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
