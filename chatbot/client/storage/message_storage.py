"""Messages in messages.db, the marks of what was seen, and the inbox of what awaits a handler."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import msgspec

from chatbot.client.crypto.vault import Vault
from chatbot.client.models import Image, Message, MessageStatus

from .batch import Unit
from .database import Database

ConversationKind = Literal["direct", "group"]

REPORTED: Final = 0
"""`seen.state` of a message that was reported as undecryptable; its id may come again."""

DELIVERED: Final = 1
"""`seen.state` of a message that was handed on; a duplicate is not handed on again."""

_COLUMNS: Final = (
    "from_user",
    "id",
    "is_encrypted",
    "to_user",
    "content",
    "timestamp",
    "status",
    "type",
    "image_data",
    "group_id",
    "from_username",
)
_INSERT: Final = (
    f"INSERT INTO messages ({', '.join(_COLUMNS)}, peer_id, created_at)"  # noqa: S608
    f" VALUES ({', '.join('?' * (len(_COLUMNS) + 2))})"
)

_TEXTS: Final = "SELECT seq, peer_id, from_user, id, is_encrypted, content, status FROM messages"

_STATUS_RANK: Final = (
    "CASE {} WHEN 'pending' THEN 0 WHEN 'sent' THEN 1 WHEN 'delivered' THEN 2 ELSE 3 END"
)


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """A received message that waits for its handlers.

    Attributes:
        seq: its place in the inbox; later messages have higher ones.
        conversation: the peer's user id, or the group's id.
        message: what was received.
        attempts: how many times handling it has failed.
    """

    seq: int
    conversation: str
    kind: ConversationKind
    message: Message
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class StoredText:
    """What there is to be searched of a message.

    Attributes:
        seq: its row.
        conversation: the peer's user id, or the group's id.
        is_settled: whether the row is there to stay.
    """

    seq: int
    conversation: str
    text: str = field(repr=False)
    is_settled: bool


class MessageStorage:
    """Reads and writes `messages`, `seen` and `inbox`."""

    columns: Final = ", ".join(f"messages.{column}" for column in _COLUMNS)
    """What `from_row` takes, for the joins of others."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    # ------------------------------------------------------------ received

    def receive(self, message: Message, conversation: str, now: int) -> Unit[int | None]:
        """Mark as seen, store and queue a received message.

        The unit returns the inbox seq, or None for a duplicate, which changes nothing.
        """
        row = self._row(message, conversation, now)
        kind = "group" if message.group_id is not None else "direct"

        def write(connection: sqlite3.Connection) -> int | None:
            if not _mark_seen(connection, message, now):
                return None
            cursor = connection.execute(_INSERT, row)
            return connection.execute(
                "INSERT INTO inbox (conversation, kind, message_seq, received_at)"
                " VALUES (?, ?, ?, ?)",
                (conversation, kind, cursor.lastrowid, now),
            ).lastrowid

        return write

    def keep(self, message: Message, conversation: str, now: int) -> Unit[bool]:
        """Store a message that is handed to nobody; the unit returns False for a duplicate."""
        row = self._row(message, conversation, now)

        def write(connection: sqlite3.Connection) -> bool:
            fresh = _mark_seen(connection, message, now)
            if fresh:
                connection.execute(_INSERT, row)
            return fresh

        return write

    def report(self, sender: str, message_id: str, now: int) -> Unit[int | None]:
        """Note that an encrypted message could not be read, unless it was handed on before.

        The unit returns what it was until now: `DELIVERED`, `REPORTED`, or None for a message
        never met before.
        """

        def write(connection: sqlite3.Connection) -> int | None:
            row = connection.execute(
                "SELECT state FROM seen WHERE sender = ? AND id = ? AND encrypted = 1",
                (sender, message_id),
            ).fetchone()
            if row is not None:
                return int(row[0])
            connection.execute(
                "INSERT INTO seen (sender, id, encrypted, state, seen_at) VALUES (?, ?, 1, ?, ?)",
                (sender, message_id, REPORTED, now),
            )
            return None

        return write

    # ------------------------------------------------------------ inbox

    async def pending(
        self, after: int = 0, limit: int = 100, *, conversation: str | None = None
    ) -> list[InboxEntry]:
        """What still waits for its handlers, in order of arrival, from behind `after`.

        Args:
            after: a seq.
            limit: how many at most.
            conversation: only this one's, None for all.
        """
        one = "" if conversation is None else " AND inbox.conversation = ?3"

        def query(connection: sqlite3.Connection) -> list[InboxEntry]:
            rows = connection.execute(
                "SELECT inbox.seq, inbox.conversation, inbox.kind, inbox.attempts,"  # noqa: S608
                f" {self.columns} FROM inbox JOIN messages ON messages.seq = inbox.message_seq"
                f" WHERE inbox.state = 'ready' AND inbox.seq > ?1{one} ORDER BY inbox.seq LIMIT ?2",
                (after, limit) if conversation is None else (after, limit, conversation),
            )
            return [InboxEntry(r[0], r[1], r[2], self.from_row(r[4:]), r[3]) for r in rows]

        return await self._database.read(query)

    async def waiting(self, kind: ConversationKind | None = None) -> list[str]:
        """The conversations of which something waits for its handlers, the longest waiting first.

        Args:
            kind: only those of that kind, None for all.
        """

        def query(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT conversation FROM inbox WHERE state = 'ready' AND ifnull(?, kind) = kind"
                " GROUP BY conversation ORDER BY min(seq)",
                (kind,),
            )
            return [conversation for (conversation,) in rows]

        return await self._database.read(query)

    @staticmethod
    def done(seq: int) -> Unit[None]:
        """The handlers of an inbox entry have finished."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM inbox WHERE seq = ?", (seq,))

        return write

    # ------------------------------------------------------------ sent

    def store(self, message: Message, conversation: str, now: int) -> Unit[int]:
        """Store a message of our own; the unit returns its seq."""
        row = self._row(message, conversation, now)

        def write(connection: sqlite3.Connection) -> int:
            cursor = connection.execute(_INSERT, row)
            return cursor.lastrowid or 0

        return write

    @staticmethod
    def advance_status(from_user: str, message_id: str, status: MessageStatus) -> Unit[bool]:
        """Move a status forward, never back; the unit says whether it moved."""

        def write(connection: sqlite3.Connection) -> bool:
            cursor = connection.execute(
                f"UPDATE messages SET status = ?1 WHERE from_user = ?2 AND id = ?3"  # noqa: S608
                f" AND {_STATUS_RANK.format('status')} < {_STATUS_RANK.format('?1')}",
                (status, from_user, message_id),
            )
            return cursor.rowcount > 0

        return write

    @staticmethod
    def mark_broadcast(message: Message, server_id: str, now: int) -> Unit[None]:
        """Note under which id the backend broadcast a group message of ours."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR IGNORE INTO seen (sender, id, encrypted, state, seen_at)"
                " VALUES (?, ?, 0, ?, ?)",
                (_sender(message), server_id, DELIVERED, now),
            )

        return write

    async def known_broadcasts(self, message: Message, server_ids: Sequence[str]) -> set[str]:
        """Which of these ids broadcasts of ours in the message's group have had."""
        sender = _sender(message)

        def query(connection: sqlite3.Connection) -> set[str]:
            return {
                server_id
                for server_id in server_ids
                if connection.execute(
                    "SELECT 1 FROM seen WHERE sender = ? AND id = ? AND encrypted = 0",
                    (sender, server_id),
                ).fetchone()
            }

        return await self._database.read(query)

    # ------------------------------------------------------------ reading

    async def get(self, from_user: str, message_id: str) -> Message | None:
        """One message by its sender and id."""
        found = await self._select(
            "WHERE from_user = ? AND id = ? ORDER BY seq DESC LIMIT 1", (from_user, message_id)
        )
        return found[0] if found else None

    async def has_conversation(self, conversation: str) -> bool:
        """Whether anything is stored of a conversation."""

        def query(connection: sqlite3.Connection) -> bool:
            return bool(
                connection.execute(
                    "SELECT 1 FROM messages WHERE peer_id = ? LIMIT 1", (conversation,)
                ).fetchone()
            )

        return await self._database.read(query)

    async def history(
        self, conversation: str, *, limit: int, before: int | None = None, offset: int = 0
    ) -> list[Message]:
        """The newest `limit` messages older than `before` (ms), oldest first."""
        found = await self._select(
            "WHERE peer_id = ? AND timestamp < ? ORDER BY timestamp DESC, seq DESC"
            " LIMIT ? OFFSET ?",
            (conversation, before if before is not None else 1 << 62, limit, offset),
        )
        return found[::-1]

    async def at(self, seqs: Sequence[int]) -> list[Message]:
        """The messages in these rows, in the order asked for; those that are gone are left out."""

        def query(connection: sqlite3.Connection) -> list[Message]:
            statement = f"SELECT {self.columns} FROM messages WHERE seq = ?"  # noqa: S608
            rows = (connection.execute(statement, (seq,)).fetchone() for seq in seqs)
            return [self.from_row(row) for row in rows if row is not None]

        return await self._database.read(query)

    async def texts_after(self, seq: int, limit: int) -> list[StoredText]:
        """What there is to be searched in the rows behind this one."""

        def query(connection: sqlite3.Connection) -> list[StoredText]:
            rows = connection.execute(f"{_TEXTS} WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
            return [self._text(row) for row in rows]

        return await self._database.read(query)

    async def texts_at(self, seqs: Sequence[int]) -> list[StoredText]:
        """The same in these rows; those that are gone are left out."""

        def query(connection: sqlite3.Connection) -> list[StoredText]:
            rows = (connection.execute(f"{_TEXTS} WHERE seq = ?", (s,)).fetchone() for s in seqs)
            return [self._text(row) for row in rows if row is not None]

        return await self._database.read(query)

    def _text(self, row: tuple[Any, ...]) -> StoredText:
        seq, conversation, from_user, message_id, encrypted, content, status = row
        key = _key(from_user, message_id, encrypted=bool(encrypted))
        text = self._vault.open("messages", key, "content", content).decode()
        return StoredText(seq, conversation, text, status != "pending")

    async def _select(self, where: str, parameters: tuple[Any, ...]) -> list[Message]:
        def query(connection: sqlite3.Connection) -> list[Message]:
            rows = connection.execute(f"SELECT {self.columns} FROM messages {where}", parameters)  # noqa: S608
            return [self.from_row(row) for row in rows]

        return await self._database.read(query)

    # ------------------------------------------------------------ rows

    def _row(self, message: Message, conversation: str, now: int) -> tuple[Any, ...]:
        key = _key(message.from_user, message.id, encrypted=message.is_encrypted)
        content = self._vault.seal("messages", key, "content", message.content.encode())
        image = message.image
        sealed_image = (
            None
            if image is None
            else self._vault.seal("messages", key, "image_data", _encode_image(image))
        )
        return (
            message.from_user,
            message.id,
            message.is_encrypted,
            message.to_user,
            content,
            message.timestamp,
            message.status,
            message.type,
            sealed_image,
            message.group_id,
            message.from_username,
            conversation,
            now,
        )

    def from_row(self, row: tuple[Any, ...]) -> Message:
        """The message in a row of `columns`.

        Raises:
            StorageError: a sealed value is damaged, or was moved here from another row.
        """
        (from_user, message_id, encrypted, to_user, content, timestamp, status, kind, image,
         group_id, from_username) = row  # fmt: skip
        key = _key(from_user, message_id, encrypted=bool(encrypted))
        message = Message(
            id=message_id,
            from_user=from_user,
            to_user=to_user,
            content=self._vault.open("messages", key, "content", content).decode(),
            timestamp=timestamp,
            status=status,
            is_encrypted=bool(encrypted),
            type=kind,
            group_id=group_id,
            from_username=from_username,
        )
        if image is None:
            return message
        data = self._vault.open("messages", key, "image_data", image)
        return replace(message, image=_decode_image(data))


def _mark_seen(connection: sqlite3.Connection, message: Message, now: int) -> bool:
    cursor = connection.execute(
        "INSERT INTO seen (sender, id, encrypted, state, seen_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET state = excluded.state, seen_at = excluded.seen_at"
        " WHERE state <> excluded.state",
        (_sender(message), message.id, message.is_encrypted, DELIVERED, now),
    )
    return cursor.rowcount == 1


def _sender(message: Message) -> str:
    """A group's messages have ids of the server's making: they share no space with 1:1 ids."""
    if message.group_id is None:
        return message.from_user
    return f"{message.group_id}/{message.from_user}"


def _key(from_user: str, message_id: str, *, encrypted: bool) -> str:
    return f"{len(from_user)}:{from_user}:{message_id}:{int(encrypted)}"


def _encode_image(image: Image) -> bytes:
    return msgspec.msgpack.encode((image.mime, image.caption, image.name, image.data))


def _decode_image(data: bytes) -> Image:
    mime, caption, name, content = msgspec.msgpack.decode(data, type=tuple[str, str, str, bytes])
    return Image(mime=mime, caption=caption, name=name, data=content)
