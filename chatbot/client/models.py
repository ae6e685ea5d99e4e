"""What the client hands out: users, messages, groups. Frozen, so that nobody edits history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

GroupRole: TypeAlias = Literal["owner", "admin", "member"]
Permission: TypeAlias = Literal["everyone", "admins_only"]
MessageStatus: TypeAlias = Literal["pending", "sent", "delivered", "read"]
ConnectionState: TypeAlias = Literal["connecting", "connected", "reconnecting", "disconnected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody on the backend.

    Attributes:
        last_seen: ms since the epoch, or None where the backend does not say.
    """

    id: str
    username: str
    avatar: str | None = None
    last_seen: int | None = None
    role: str = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture: its bytes as they were sent, never re-encoded.

    Attributes:
        mime: sniffed from the content, not taken from the sender's word.
    """

    data: bytes = field(repr=False)
    mime: str
    caption: str = field(default="", repr=False)
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, 1:1 or of a group.

    Attributes:
        id: opaque; unique only together with `from_user` and `is_encrypted`.
        to_user: the recipient's user id; empty in a group.
        content: the text; for an image its caption or the placeholder.
        timestamp: ms since the epoch, by the backend's clock.
        is_encrypted: whether this very message was end-to-end encrypted. Anyone can claim any
            name on a message where it is False (PROTOCOL.md 4.1.9).
        group_id: set for group messages only, which are never end-to-end encrypted.
        from_username: the sender's name where the backend gave it.
    """

    id: str
    from_user: str
    to_user: str
    content: str = field(repr=False)
    timestamp: int
    status: MessageStatus
    is_encrypted: bool
    type: Literal["text", "image"] = "text"
    image: Image | None = field(default=None, repr=False)
    group_id: str | None = None
    from_username: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """What a group allows.

    Attributes:
        message_permission: who may write.
        metadata_permission: who may change name, description and avatar.
        join_approval: whether admins let people in one by one.
        max_members: the owner counts.
    """

    message_permission: Permission = "everyone"
    metadata_permission: Permission = "everyone"
    join_approval: bool = False
    max_members: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group that we are in, as the backend had it at the time.

    Attributes:
        role: our own.
        created_at: ms since the epoch, or None where the backend does not say.
    """

    id: str
    name: str
    description: str | None = None
    avatar: str | None = None
    owner_id: str = ""
    role: GroupRole = "member"
    settings: GroupSettings = field(default_factory=GroupSettings)
    created_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """Somebody in a group.

    Attributes:
        joined_at: ms since the epoch, or None where the backend does not say.
        added_by: a user id.
    """

    group_id: str
    user_id: str
    username: str
    role: GroupRole = "member"
    joined_at: int | None = None
    added_by: str | None = None
    avatar: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEvent:
    """What happened to a group, from its history: the backend pushes no such thing.

    Attributes:
        event: e.g. `member_added` (PROTOCOL.md 2 lists them).
        user_id: who did it.
        text: the backend's own words.
        metadata: whatever the backend adds.
        timestamp: ms since the epoch.
    """

    id: str
    group_id: str
    event: str
    user_id: str
    text: str
    metadata: Any
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """A link into a group. Whoever has the code can join.

    Attributes:
        id: what revoking takes.
        code: what joining takes.
        expires_at: ms since the epoch, or None for never.
        max_uses: None for any number.
    """

    id: str
    group_id: str
    code: str = field(repr=False)
    expires_at: int | None = None
    max_uses: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedAccount:
    """An account as an administrator sees it. Times are ms since the epoch."""

    id: str
    username: str
    role: str
    is_active: bool
    can_send_images: bool
    avatar: str | None = None
    last_seen: int | None = None
    created_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSummary:
    """A conversation in a list of them.

    Attributes:
        id: the peer's user id, or the group's id.
        last_message: the newest one, whoever wrote it.
        unread: received messages that nobody has marked as read.
    """

    id: str
    is_group: bool
    last_message: Message
    unread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A peer whose fingerprint somebody has compared.

    Attributes:
        fingerprint: 60 uppercase hexadecimal digits, of the peer's present identity.
        verified_at: ms since the epoch.
        method: `manual` or `qr_code`.
    """

    peer_id: str
    fingerprint: str
    verified_at: int
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingIdentity:
    """A peer that published another identity, which is held back until somebody accepts it.

    Attributes:
        fingerprint: of the new identity, 60 uppercase hexadecimal digits.
        pinned: of the one that is still in force.
    """

    peer_id: str
    fingerprint: str
    pinned: str
