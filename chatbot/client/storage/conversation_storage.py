"""Conversations as wholes: what they end with, what is unread in them, and their deletion."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from chatbot.client.models import ConversationSummary

from .batch import Unit
from .database import Database
from .message_storage import DELIVERED, MessageStorage

# One look into the index for each conversation, however many messages they have.
_LATEST: Final = """
WITH RECURSIVE conversations (id) AS (
    SELECT min(peer_id) FROM messages
    UNION ALL
    SELECT (SELECT min(peer_id) FROM messages WHERE peer_id > conversations.id)
    FROM conversations
    WHERE id IS NOT NULL
)
SELECT messages.peer_id, {columns} FROM conversations JOIN messages ON messages.seq =
    (SELECT seq FROM messages WHERE peer_id = conversations.id
     ORDER BY timestamp DESC, seq DESC LIMIT 1)
ORDER BY messages.timestamp DESC, messages.seq DESC"""

_UNREAD: Final = """
SELECT peer_id, count(*) FROM messages
WHERE status IN ('pending', 'sent', 'delivered') AND from_user <> ? GROUP BY peer_id"""

_READ: Final = """
UPDATE messages SET status = 'read'
WHERE from_user = ? AND id = ? AND group_id IS NULL AND status <> 'read'"""

_READ_GROUP: Final = """
UPDATE messages SET status = 'read' WHERE peer_id = ?1 AND from_user <> ?2 AND status <> 'read'
AND timestamp <= (SELECT max(timestamp) FROM messages WHERE peer_id = ?1 AND id = ?3)"""

# Ids of ours that nobody knows any more would look like those of a rolled-back disk.
_REMEMBER_OWN: Final = """
INSERT OR IGNORE INTO seen (sender, id, encrypted, state, seen_at)
SELECT from_user, id, is_encrypted, ?, ? FROM messages
WHERE peer_id = ? AND from_user = ? AND group_id IS NULL"""


class ConversationStorage:
    """Reads and writes `messages` and what hangs on them, a conversation at a time."""

    def __init__(self, database: Database, messages: MessageStorage, *, me: str) -> None:
        self._database = database
        self._messages = messages
        self._me = me

    async def summaries(self) -> list[ConversationSummary]:
        """Every conversation with its newest message, the latest first."""

        def query(connection: sqlite3.Connection) -> list[ConversationSummary]:
            unread = dict(connection.execute(_UNREAD, (self._me,)))
            rows = connection.execute(_LATEST.format(columns=self._messages.columns))
            messages = [(row[0], self._messages.from_row(row[1:])) for row in rows]
            return [
                ConversationSummary(
                    id=peer_id,
                    is_group=message.group_id is not None,
                    last_message=message,
                    unread=unread.get(peer_id, 0),
                )
                for peer_id, message in messages
            ]

        return await self._database.read(query)

    async def unread(self) -> dict[str, int]:
        """How many received messages nobody has marked as read, by conversation."""

        def query(connection: sqlite3.Connection) -> dict[str, int]:
            return dict(connection.execute(_UNREAD, (self._me,)))

        return await self._database.read(query)

    @staticmethod
    def mark_read(from_user: str, message_ids: Sequence[str]) -> Unit[None]:
        """Mark messages that somebody sent us as read."""
        rows = [(from_user, message_id) for message_id in message_ids]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(_READ, rows)

        return write

    def mark_group_read(self, group_id: str, message_id: str) -> Unit[bool]:
        """Mark a group's messages up to this one as read; False if it is not there."""

        def write(connection: sqlite3.Connection) -> bool:
            connection.execute(_READ_GROUP, (group_id, self._me, message_id))
            found = connection.execute(
                "SELECT 1 FROM messages WHERE peer_id = ? AND id = ?", (group_id, message_id)
            )
            return found.fetchone() is not None

        return write

    def delete(self, conversation: str, now: int) -> Unit[int]:
        """Delete a conversation's messages; the unit returns how many there were.

        Sessions and the pinned identity stay. So do the marks of what was seen: none of the
        messages comes back when the history is read again.
        """

        def write(connection: sqlite3.Connection) -> int:
            connection.execute(_REMEMBER_OWN, (DELIVERED, now, conversation, self._me))
            connection.execute("DELETE FROM inbox WHERE conversation = ?", (conversation,))
            connection.execute("DELETE FROM outbox WHERE recipient = ?", (conversation,))
            return connection.execute(
                "DELETE FROM messages WHERE peer_id = ?", (conversation,)
            ).rowcount

        return write
