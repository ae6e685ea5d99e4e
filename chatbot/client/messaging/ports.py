"""What the engine needs of its surroundings, so that it can be read and tested without them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from msgspec import Struct

from chatbot.client.models import Message, MessageStatus
from chatbot.client.storage.message_storage import InboxEntry
from chatbot.wire import HistoryRow, PrekeyBundleBody


class Link(Protocol):
    """The socket, as far as sending goes."""

    @property
    def connected(self) -> bool:
        """Whether frames can be sent now."""

    def send_nowait(self, kind: str, payload: Struct | dict[str, Any]) -> None:
        """Queue a frame.

        Raises:
            ConnectionError: there is no connection, or its queue is full.
        """


class Backend(Protocol):
    """The REST calls the engine makes."""

    async def get_bundle(self, user_id: str) -> PrekeyBundleBody:
        """A user's bundle; burns one of its one-time prekeys."""

    def iter_history(
        self, peer: str, me: str, *, after: int | None = None
    ) -> AsyncIterator[HistoryRow]:
        """The history with a peer, oldest first."""


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

    def failed(self, message: Message, error: Exception) -> None:
        """A queued message cannot be sent."""
