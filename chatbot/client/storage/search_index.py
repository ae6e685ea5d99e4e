"""Full-text search over messages that are sealed on the disk: the index is in memory only.

It is built at the first search from the decrypted messages, follows them at every further one, and
is dropped when nobody has searched for a while. It holds words, and no messages.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Final

from chatbot.client.exceptions import StorageError
from chatbot.client.models import Message

from .connection import SqliteThread
from .message_storage import MessageStorage, StoredText

IDLE: Final = 300.0
"""Seconds after a search until the index is dropped."""

_CHUNK: Final = 500

_SCHEMA: Final = """
PRAGMA temp_store = MEMORY;
CREATE TABLE places (seq INTEGER PRIMARY KEY, conversation TEXT NOT NULL);
CREATE VIRTUAL TABLE words USING fts5 (
    text, content = '', tokenize = 'unicode61 remove_diacritics 2'
);
"""

_FIND: Final = """
SELECT words.rowid FROM words JOIN places ON places.seq = words.rowid
WHERE words MATCH ?1 AND ifnull(?2, conversation) = conversation
ORDER BY words.rowid DESC LIMIT ?3"""


class SearchIndex:
    """Finds messages by their words.

    Args:
        idle: seconds after a search until the index is dropped.
    """

    def __init__(self, messages: MessageStorage, *, idle: float = IDLE) -> None:
        self._messages = messages
        self._idle = idle
        self._index: SqliteThread | None = None
        self._newest = 0
        self._unsettled: set[int] = set()
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._dropping: asyncio.Task[None] | None = None

    @property
    def built(self) -> bool:
        """Whether there is an index now."""
        return self._index is not None

    async def search(
        self, words: str, *, conversation: str | None = None, limit: int
    ) -> list[Message]:
        """The messages that hold all these words, or words that begin so; newest first.

        Args:
            words: anything; case and accents do not matter.
            conversation: only this one.
            limit: how many at most.

        Raises:
            StorageError: the messages cannot be read, or this Python's SQLite has no FTS5.
        """
        async with self._lock:
            index = await self._follow()
            self._drop_when_idle()
            query = (_quoted(words), conversation, limit)
            seqs = await index.run(lambda connection: connection.execute(_FIND, query).fetchall())
            return await self._messages.at([seq for (seq,) in seqs])

    async def drop(self) -> None:
        """Forget the index; the next search builds it anew."""
        async with self._lock:
            index, self._index = self._index, None
            self._newest = 0
            self._unsettled.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if index is not None:
                await index.close()

    async def close(self) -> None:
        """The same, for good."""
        await self.drop()
        if self._dropping is not None:
            await asyncio.wait({self._dropping})

    def _drop_when_idle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._idle, self._idled)

    def _idled(self) -> None:
        self._dropping = asyncio.create_task(self.drop(), name="dropping the search index")

    async def _follow(self) -> SqliteThread:
        """Build the index, or bring it up to the messages that are new."""
        if self._index is None:
            self._index = await _make_index()
        again = sorted(self._unsettled)
        self._unsettled.clear()
        await self._add(self._index, await self._messages.texts_at(again))
        while texts := await self._messages.texts_after(self._newest, _CHUNK):
            self._newest = texts[-1].seq
            await self._add(self._index, texts)
        return self._index

    async def _add(self, index: SqliteThread, texts: Sequence[StoredText]) -> None:
        """Index what is settled.

        A message of ours that the backend has not echoed may still be withdrawn, and its row's
        number be given to another: it is looked at again.
        """
        self._unsettled.update(text.seq for text in texts if not text.is_settled)
        settled = [text for text in texts if text.is_settled]

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN")
            for text in settled:
                connection.execute(
                    "INSERT INTO places VALUES (?, ?)", (text.seq, text.conversation)
                )
                connection.execute(
                    "INSERT INTO words (rowid, text) VALUES (?, ?)", (text.seq, text.text)
                )
            connection.execute("COMMIT")

        await index.run(write)


def _quoted(words: str) -> str:
    """An FTS5 query for all the words as beginnings, whatever signs are in them."""
    return " ".join('"{}"*'.format(word.replace('"', '""')) for word in words.split())


async def _make_index() -> SqliteThread:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.executescript(_SCHEMA)
        return connection

    try:
        return await SqliteThread.start(connect)
    except sqlite3.OperationalError as error:
        raise StorageError(
            f"messages cannot be searched: {error}. What to do: use a Python whose SQLite has FTS5"
        ) from error
