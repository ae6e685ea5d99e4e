"""What plugins can observe besides messages: `@plugin.on(IdentityChanged)`.

Observers run after the fact and change nothing. Each event is one frozen class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from chatbot.client.models import ConnectionState


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    """The socket came or went."""

    state: ConnectionState


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """Somebody came online or went."""

    user_id: str
    online: bool


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """A peer's identity key is not the pinned one any more; the peer has no privileges now."""

    user_id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class MessageUndecryptable:
    """A message did not decrypt; `reason` is the one word of `DecryptionError`."""

    user_id: str
    message_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class MessageStatusChanged:
    """A message of ours was delivered or read."""

    message_id: str
    status: Literal["sent", "delivered", "read"]


@dataclass(frozen=True, slots=True)
class MessageFailed:
    """A message of ours was given up: too old, or there is nobody with keys to send it to.

    Attributes:
        user_id: whom it was for; empty where it was for a group.
        reason: in words.
    """

    message_id: str
    user_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """The backend recorded something in a group's history.

    Attributes:
        event: `member_added`, `member_removed`, `member_left`, `metadata_updated` and so on.
        actor: the user id of who did it, where it is told.
    """

    group_id: str
    event: str
    actor: str | None = None


Event: TypeAlias = (
    ConnectionChanged
    | PresenceChanged
    | IdentityChanged
    | MessageUndecryptable
    | MessageStatusChanged
    | MessageFailed
    | GroupChanged
)
