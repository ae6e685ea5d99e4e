"""How far each conversation's history has been read (PROTOCOL.md 4.3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Final

from .batch import Unit
from .database import Database
from .message_storage import ConversationKind

SWEEP: Final = "*"
"""The watermark of the sweep over all users."""

_RAISE: Final = """
INSERT INTO watermarks (conversation, kind, position, updated_at) VALUES (?, ?, ?, ?)
ON CONFLICT (conversation) DO UPDATE
SET position = max(position, excluded.position), updated_at = excluded.updated_at"""


class WatermarkStorage:
    """Reads and writes `watermarks`, and asks `messages` and `seen` what is known."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self, conversation: str) -> int:
        """Up to where (ms) the conversation's history has been read; 0 before the first time."""

        def query(connection: sqlite3.Connection) -> int:
            row = connection.execute(
                "SELECT position FROM watermarks WHERE conversation = ?", (conversation,)
            ).fetchone()
            return 0 if row is None else int(row[0])

        return await self._database.read(query)

    @staticmethod
    def advance(conversation: str, kind: ConversationKind, position: int, now: int) -> Unit[None]:
        """Note that a conversation's history has been read up to `position` (ms)."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(_RAISE, (conversation, kind, position, now))

        return write

    @staticmethod
    def forget(conversation: str) -> Unit[None]:
        """Have everything of a conversation's history looked at again."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM watermarks WHERE conversation = ?", (conversation,))

        return write

    async def known_peers(self) -> list[str]:
        """Everybody we have exchanged anything with, the latest first."""

        def query(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute("SELECT peer_id FROM peers ORDER BY updated_at DESC")
            return [row[0] for row in rows]

        return await self._database.read(query)

    async def seen(
        self, sender: str, ids: Collection[tuple[str, bool]]
    ) -> dict[tuple[str, bool], int]:
        """What became of these messages (id, encrypted) of a sender: `DELIVERED` or `REPORTED`.

        Those that are new are left out. Asked behind everything that is on its way to the disk,
        which is also what keeps whoever asks from getting far ahead of it.
        """

        def query(connection: sqlite3.Connection) -> dict[tuple[str, bool], int]:
            states = {}
            for message_id, encrypted in ids:
                row = connection.execute(
                    "SELECT state FROM seen WHERE sender = ? AND id = ? AND encrypted = ?",
                    (sender, message_id, encrypted),
                ).fetchone()
                if row is not None:
                    states[message_id, encrypted] = row[0]
            return states

        return await self._database.write(query)

    async def unknown(self, from_user: str, ids: Collection[str]) -> set[str]:
        """Which of these messages of our own the storage does not know; deleted ones it does."""

        def query(connection: sqlite3.Connection) -> set[str]:
            return {
                message_id
                for message_id in ids
                if not connection.execute(
                    "SELECT 1 FROM messages WHERE from_user = ?1 AND id = ?2"
                    " UNION ALL SELECT 1 FROM seen WHERE sender = ?1 AND id = ?2",
                    (from_user, message_id),
                ).fetchone()
            }

        return await self._database.read(query)
