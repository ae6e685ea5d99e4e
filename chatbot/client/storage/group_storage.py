"""What the backend last told of our groups (FR-GROUP-01), sealed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from chatbot.client.crypto.vault import Vault
from chatbot.client.models import Group

from .batch import Unit
from .database import Database

_SAVE: Final = """
INSERT INTO chat_groups (group_id, body, updated_at) VALUES (?, ?, ?)
ON CONFLICT (group_id) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at"""


class GroupStorage:
    """Reads and writes `chat_groups`."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    def save(self, group: Group, now: int) -> Unit[None]:
        """Store one group as it is now."""
        row = (group.id, self._seal(group), now)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(_SAVE, row)

        return write

    def save_all(self, groups: Sequence[Group], now: int) -> Unit[None]:
        """Store the groups that we are in, and forget all others."""
        rows = [(group.id, self._seal(group), now) for group in groups]

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM chat_groups")
            connection.executemany(_SAVE, rows)

        return write

    @staticmethod
    def forget(group_id: str) -> Unit[None]:
        """Forget one that we are not in any more."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM chat_groups WHERE group_id = ?", (group_id,))

        return write

    async def has(self, group_id: str) -> bool:
        """Whether a group is stored."""

        def query(connection: sqlite3.Connection) -> bool:
            found = connection.execute("SELECT 1 FROM chat_groups WHERE group_id = ?", (group_id,))
            return found.fetchone() is not None

        return await self._database.read(query)

    async def all(self) -> list[Group]:
        """Every group that is stored.

        Raises:
            StorageError: a value is damaged, or was moved here from another row.
        """

        def query(connection: sqlite3.Connection) -> list[Group]:
            rows = connection.execute("SELECT group_id, body FROM chat_groups ORDER BY group_id")
            return [self._open(group_id, body) for group_id, body in rows]

        return await self._database.read(query)

    def _seal(self, group: Group) -> bytes:
        return self._vault.seal("chat_groups", group.id, "body", msgspec.msgpack.encode(group))

    def _open(self, group_id: str, sealed: bytes) -> Group:
        body = self._vault.open("chat_groups", group_id, "body", sealed)
        return msgspec.msgpack.decode(body, type=Group)
