"""The rows of groups: who is in, who may what, and what is written into their histories."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from chatbot.server.errors import Refused
from chatbot.server.http import Row
from chatbot.server.users import User, require_sender
from chatbot.wire import GroupSettings, MessageType

ADMINS: Final = frozenset({"owner", "admin"})

_MESSAGE_COLUMNS: Final = (
    "SELECT m.id, m.group_id, m.from_user, m.content, m.timestamp, m.type,"
    " m.image_data AS imageData, u.username AS from_username"
    " FROM group_messages m JOIN users u ON u.id = m.from_user"
    " WHERE m.group_id = ? AND m.from_user = ? AND m.id = ?"
)


@dataclass(frozen=True, slots=True)
class Membership:
    """One user in one group.

    Attributes:
        joined_at: ms since the epoch; what was written before is not theirs to read.
    """

    group_id: str
    user_id: str
    role: str
    joined_at: int
    settings: GroupSettings

    @property
    def is_admin(self) -> bool:
        """Whether they are the owner or an administrator."""
        return self.role in ADMINS


def require_group(connection: sqlite3.Connection, group_id: str) -> GroupSettings:
    """Return the settings of a group.

    Raises:
        Refused: 404, there is no such group.
    """
    row = connection.execute(
        "SELECT settings FROM chat_groups WHERE id = ?", (group_id,)
    ).fetchone()
    if row is None:
        raise Refused(404, "Group not found")
    return msgspec.json.decode(row["settings"], type=GroupSettings)


def require_membership(connection: sqlite3.Connection, group_id: str, user_id: str) -> Membership:
    """Return how the user belongs to the group.

    Raises:
        Refused: 404, there is no such group; 403, they are not in it.
    """
    settings = require_group(connection, group_id)
    member = connection.execute(
        "SELECT role, joined_at FROM group_members WHERE group_id = ? AND user_id = ?",
        (group_id, user_id),
    ).fetchone()
    if member is None:
        raise Refused(403, "You are not a member of this group")
    return Membership(group_id, user_id, member["role"], member["joined_at"], settings)


def require_admin(
    connection: sqlite3.Connection, group_id: str, user_id: str, text: str
) -> Membership:
    """Return the membership of an administrator or the owner.

    Raises:
        Refused: 403 with `text`, they are neither.
    """
    membership = require_membership(connection, group_id, user_id)
    if not membership.is_admin:
        raise Refused(403, text)
    return membership


def member_ids(connection: sqlite3.Connection, group_id: str) -> list[str]:
    """Return the user ids of all members."""
    rows = connection.execute("SELECT user_id FROM group_members WHERE group_id = ?", (group_id,))
    return [row[0] for row in rows]


def add_member(
    connection: sqlite3.Connection,
    group_id: str,
    user_id: str,
    *,
    role: str,
    now: int,
    added_by: str | None,
) -> None:
    """Write the row of a new member."""
    connection.execute(
        "INSERT INTO group_members VALUES (?, ?, ?, ?, ?)",
        (group_id, user_id, role, now, added_by),
    )


def next_timestamp(connection: sqlite3.Connection, group_id: str, now: int) -> int:
    """Return `now`, or one ms after the newest row where that is later.

    No two rows of a group share a time, so that paging by it skips and repeats nothing.
    """
    row = connection.execute(
        "SELECT max(timestamp) FROM group_messages WHERE group_id = ?", (group_id,)
    ).fetchone()
    return now if row[0] is None else max(now, int(row[0]) + 1)


def add_event(
    connection: sqlite3.Connection,
    group_id: str,
    event: str,
    actor: User,
    *,
    now: int,
    text: str,
    **metadata: Any,
) -> None:
    """Write a system event into the history; nobody is told (PROTOCOL.md 2)."""
    connection.execute(
        "INSERT INTO group_messages"
        " (group_id, id, from_user, timestamp, type, system_event, metadata, content)"
        " VALUES (?, ?, ?, ?, 'system', ?, ?, ?)",
        (
            group_id,
            str(uuid.uuid4()),
            actor.id,
            next_timestamp(connection, group_id, now),
            event,
            msgspec.json.encode(metadata).decode(),
            text,
        ),
    )


@dataclass(frozen=True, slots=True)
class Posted:
    """A group message that is on the disk.

    Attributes:
        payload: the frame that tells of it.
        readers: the members it is sent to; only its sender where it was there before.
    """

    payload: Row = field(repr=False)
    readers: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMessage:
    """A group message on its way to the disk.

    Attributes:
        id: the sender's own, or made here.
        now: when it came in, in ms.
    """

    id: str
    group_id: str
    sender_id: str
    content: str = field(repr=False)
    type: MessageType
    image_data: str | None = field(repr=False)
    now: int

    def store(self, connection: sqlite3.Connection) -> Posted:
        """Write the row, unless the sender posted one with this id before.

        Raises:
            Refused: the sender is disabled, no member, or may not send this here.
        """
        sends_image = self.type == "image" or self.image_data is not None
        require_sender(connection, self.sender_id, sends_image=sends_image)
        membership = require_membership(connection, self.group_id, self.sender_id)
        if membership.settings.message_permission == "admins_only" and not membership.is_admin:
            raise Refused(403, "Only admins can send messages in this group.")
        key = (self.group_id, self.sender_id, self.id)
        earlier = connection.execute(_MESSAGE_COLUMNS, key).fetchone()
        if earlier is not None:
            return Posted(_payload(earlier), [self.sender_id])
        self._insert(connection)
        row = connection.execute(_MESSAGE_COLUMNS, key).fetchone()
        return Posted(_payload(row), member_ids(connection, self.group_id))

    def _insert(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO group_messages"
            " (group_id, id, from_user, timestamp, type, content, image_data)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self.group_id,
                self.id,
                self.sender_id,
                next_timestamp(connection, self.group_id, self.now),
                self.type,
                self.content,
                self.image_data,
            ),
        )


def readers_of(connection: sqlite3.Connection, *, group_id: str, user_id: str) -> list[str]:
    """Return whom a frame about the group goes to.

    Raises:
        Refused: its sender is not a member, or is disabled.
    """
    require_sender(connection, user_id, sends_image=False)
    require_membership(connection, group_id, user_id)
    return member_ids(connection, group_id)


def _payload(row: sqlite3.Row) -> Row:
    payload = dict(row)
    if payload["imageData"] is None:
        del payload["imageData"]
    return payload


def check_settings(settings: GroupSettings, largest: int) -> None:
    """Raise 400 for settings that no group can have."""
    if not 1 <= settings.max_members <= largest:
        raise Refused(400, f"maxMembers must be between 1 and {largest}")
