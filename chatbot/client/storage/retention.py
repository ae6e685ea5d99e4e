"""Forgetting what is old, a little at a time.

Pages that come free are used again, so that the file stops growing; `secure_delete` (see
connection.py) has zeroed what stood in them. No VACUUM is needed, which would stop all writing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from chatbot.client.storage.batch import Unit
from chatbot.client.storage.database import Database

DAY: Final = 24 * 3600 * 1000
SHORTEST_MEMORY: Final = 60 * DAY
"""How long (ms) it is at least known what was received: as prekeys are (PROTOCOL.md 4.1)."""

_PIECE: Final = 200
"""Rows in one unit of work: other units of the batch do not wait long for it."""

_DONE_WITH: Final = (
    " AND NOT EXISTS (SELECT 1 FROM inbox WHERE message_seq = messages.seq)"
    " AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = messages.id"
    " AND state IN ('queued', 'sending', 'sent'))"
)
_OLD: Final = (
    "SELECT seq FROM messages WHERE seq > ? AND created_at < ?"  # noqa: S608 - all of it is here
    f"{_DONE_WITH} ORDER BY seq LIMIT ?"
)
_DELETE: Final = f"DELETE FROM messages WHERE seq = ?{_DONE_WITH}"  # noqa: S608 - the same
_FORGET: Final = (
    "DELETE FROM seen WHERE (sender, id, encrypted) IN"
    " (SELECT sender, id, encrypted FROM seen WHERE seen_at < ? LIMIT ?)"
)


async def forget_old(database: Database, *, now: int, keep: int) -> int:
    """Delete messages older than `keep` (ms), and marks of what was received that are older too.

    What waits for its handlers, is parked, or may still have to be delivered stays.

    Returns:
        How many messages were deleted.

    Raises:
        StorageError: the database cannot be read or written.
    """
    last = deleted = 0
    while seqs := await database.read(_old(last, now - keep)):
        deleted += await database.write(_delete(seqs))
        last = seqs[-1]
    await database.write(_settled(now - keep))
    while await database.write(_forget(now - max(keep, SHORTEST_MEMORY))) == _PIECE:
        pass
    return deleted


def _old(after: int, before: int) -> Unit[list[int]]:
    def query(connection: sqlite3.Connection) -> list[int]:
        return [seq for (seq,) in connection.execute(_OLD, (after, before, _PIECE))]

    return query


def _delete(seqs: Sequence[int]) -> Unit[int]:
    def unit(connection: sqlite3.Connection) -> int:
        return connection.executemany(_DELETE, [(seq,) for seq in seqs]).rowcount

    return unit


def _settled(before: int) -> Unit[int]:
    """What became of messages that are gone."""
    statement = "DELETE FROM outbox WHERE state IN ('delivered', 'failed') AND created_at < ?"
    return lambda connection: connection.execute(statement, (before,)).rowcount


def _forget(before: int) -> Unit[int]:
    return lambda connection: connection.execute(_FORGET, (before, _PIECE)).rowcount
