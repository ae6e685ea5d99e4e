"""What the client hands out: users, messages, groups. Frozen, so that nobody edits history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

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
