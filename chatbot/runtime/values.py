"""The rows behind plugins' stores: sealed values by plugin, scope and key."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeVar

from chatbot.client.crypto.vault import Vault
from chatbot.client.storage.batch import Unit
from chatbot.client.storage.database import Database

T = TypeVar("T")

_SURROGATES: Final = 0xD800  # no text of SQLite's holds one
_BEHIND_SURROGATES: Final = 0xE000


class ValueKey(NamedTuple):
    """Where a value lies.

    Attributes:
        scope: empty for what a plugin keeps for itself, else whose state it is.
    """

    plugin: str
    scope: str
    key: str

    @property
    def place(self) -> str:
        """What its seal is bound to."""
        return f"{len(self.plugin)}:{self.plugin}{len(self.scope)}:{self.scope}{self.key}"


class Values:
    """Reads and writes `plugin_values`; values are JSON."""

    def __init__(self, database: Database, vault: Vault, clock: Callable[[], int]) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock

    async def get(self, key: ValueKey) -> bytes | None:
        """One committed value."""
        return await self._database.read(lambda connection: self._get(connection, key))

    async def page(self, start: ValueKey, *, prefix: str, limit: int) -> list[tuple[str, bytes]]:
        """Committed values behind `start` whose keys begin with `prefix`, in order of their keys.

        Args:
            start: plugin, scope, and the key to begin behind.
        """
        end = _behind(prefix)

        def query(connection: sqlite3.Connection) -> list[tuple[str, bytes]]:
            rows = connection.execute(
                "SELECT key, value FROM plugin_values WHERE plugin = ?1 AND scope = ?2"
                " AND key > ?3 AND key >= ?4 AND (?5 IS NULL OR key < ?5) ORDER BY key LIMIT ?6",
                (*start, prefix, end, limit),
            ).fetchall()
            return [(key, self._open(start._replace(key=key), value)) for key, value in rows]

        return await self._database.read(query)

    def write(self, values: Mapping[ValueKey, bytes | None]) -> Unit[None]:
        """Set values, and delete those that are None."""
        now = self._clock()
        sealed = {
            key: None if value is None else self._seal(key, value) for key, value in values.items()
        }

        def unit(connection: sqlite3.Connection) -> None:
            for key, value in sealed.items():
                _put(connection, key, value, now)

        return unit

    def alter(
        self, key: ValueKey, change: Callable[[bytes | None], tuple[bytes | None, T]]
    ) -> Unit[T]:
        """Replace a value by what `change` makes of it; the unit returns what else it gives."""
        now = self._clock()

        def unit(connection: sqlite3.Connection) -> T:
            before = self._get(connection, key)
            after, result = change(before)
            if after != before:
                _put(connection, key, None if after is None else self._seal(key, after), now)
            return result

        return unit

    def _get(self, connection: sqlite3.Connection, key: ValueKey) -> bytes | None:
        row = connection.execute(
            "SELECT value FROM plugin_values WHERE plugin = ? AND scope = ? AND key = ?", key
        ).fetchone()
        return None if row is None else self._open(key, row[0])

    def _seal(self, key: ValueKey, value: bytes) -> bytes:
        return self._vault.seal("plugin_values", key.place, "value", value)

    def _open(self, key: ValueKey, sealed: bytes) -> bytes:
        return self._vault.open("plugin_values", key.place, "value", sealed)


def _put(connection: sqlite3.Connection, key: ValueKey, value: bytes | None, now: int) -> None:
    if value is None:
        connection.execute(
            "DELETE FROM plugin_values WHERE plugin = ? AND scope = ? AND key = ?", key
        )
        return
    connection.execute(
        "INSERT INTO plugin_values (plugin, scope, key, value, updated_at)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (plugin, scope, key)"
        " DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        (*key, value, now),
    )


def _behind(prefix: str) -> str | None:
    """The first text that is behind all that begin with `prefix`, by code points."""
    shortened = prefix.rstrip(chr(sys.maxunicode))
    if not shortened:
        return None
    following = ord(shortened[-1]) + 1
    return shortened[:-1] + chr(_BEHIND_SURROGATES if following == _SURROGATES else following)
