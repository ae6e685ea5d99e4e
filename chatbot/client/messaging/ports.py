"""What the engine needs of its surroundings, so that it can be read and tested without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import Struct

from chatbot.client.exceptions import PermissionDeniedError
from chatbot.client.models import Message, MessageStatus
from chatbot.client.storage.message_storage import InboxEntry


@dataclass(frozen=True, slots=True)
class Refusable:
    """A message in flight that the backend may refuse.

    Attributes:
        sent_at: ms; when the socket took it.
        refuse: settles it with the backend's words, and goes on with what waits behind it.
    """

    sent_at: int
    refuse: Callable[[PermissionDeniedError], None]


class Link(Protocol):
    """The socket, as far as sending goes."""

    @property
    def connected(self) -> bool:
        """Whether frames can be sent now."""

    @property
    def congested(self) -> bool:
        """Whether something that was sent has not left this machine yet."""

    def send_nowait(self, kind: str, payload: Struct | dict[str, Any]) -> None:
        """Queue a frame.

        Raises:
            ConnectionError: there is no connection, or its queue is full.
        """


class Observer(Protocol):
    """Who is told what happened. Called on the event loop; must not block."""

    def arrived(self, entry: InboxEntry) -> None:
        """A message is durable and waits for its handlers."""

    def status_changed(self, message_id: str, status: MessageStatus) -> None:
        """One of our messages got further."""

    def undecryptable(self, peer_id: str, reason: str) -> None:
        """A message could not be decrypted; it is reported once."""

    def identity_changed(self, peer_id: str, old: bytes, new: bytes) -> None:
        """A peer published another identity key (32 bytes each)."""

    async def accepts_identity(self, peer_id: str, old: bytes, new: bytes) -> bool:
        """Under the policy `ask`, in place of `identity_changed`: whether to go on under it."""

    def failed(self, message: Message, error: Exception) -> None:
        """A queued message cannot be sent."""

    def typing(self, user_id: str, *, typing: bool, group_id: str | None) -> None:
        """Somebody started or stopped typing."""

    def presence(self, user_id: str, online: bool) -> None:
        """Somebody came or went."""

    def group_event(self, group_id: str, payload: dict[str, Any]) -> None:
        """Somebody sent an event to a group: whatever it says is that somebody's word."""

    def group_read(self, group_id: str, message_id: str, user_id: str) -> None:
        """Somebody read a group message."""

    def error(self, message: str) -> None:
        """The backend complained, about whichever frame it was."""
