"""Messages: sending, waiting for, and reading them (SRS 5.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from chatbot.client.exceptions import ConnectionError, ValidationError
from chatbot.client.messaging.content import MAX_TEXT_BYTES
from chatbot.client.models import Message

from .base import Api

RECEIVE_TIMEOUT: Final = 10.0
"""Seconds that `receive_message` waits."""


class MessagesApi(Api):
    """1:1 messages."""

    async def send_message(self, to: str, content: str) -> Message:
        """Send an encrypted text message.

        Args:
            to: the recipient's user id, or else its exact username.
            content: the text, at most 64 KiB of UTF-8.

        Returns:
            The message with the status of the backend's echo: `delivered`, or `sent` where the
            recipient is offline (it goes out again on its return); `pending` where no echo came
            in time.

        Raises:
            SessionNotFoundError: there is no such user, or it has published no keys.
            ConnectionError: nothing reached the backend; nothing is kept.
            ValidationError: the text is empty or too long, or the recipient is ourselves.
        """
        message = await self._compose(to, content)
        account = self._account
        expires_at = message.timestamp + account.messenger.options.outbox_age
        return await account.messenger.sender.send(message, expires_at=expires_at)

    async def queue_message(self, to: str, content: str) -> Message:
        """Queue an encrypted text message durably; it is sent as soon as that is possible.

        Returns:
            The message, `pending`. `on_message_status` and `on_send_failed` tell what became of it.

        Raises:
            SessionNotFoundError: there is no such user.
            ValidationError: the text is empty or too long, or the recipient is ourselves.
        """
        message = await self._compose(to, content)
        account = self._account
        expires_at = message.timestamp + account.messenger.options.outbox_age
        await account.messenger.sender.post([message], expires_at=expires_at)
        return message

    async def receive_message(self, message: Message) -> Message:
        """Wait up to 10 s for a message to arrive here.

        Args:
            message: as its sender got it from `send_message`.

        Raises:
            ConnectionError: it has not arrived in time.
        """
        account = self._account
        waiting = asyncio.ensure_future(account.events.wait_for(message.from_user, message.id))
        try:
            stored = await account.messenger.messages.get(message.from_user, message.id)
            if stored is not None:
                return stored
            async with asyncio.timeout(RECEIVE_TIMEOUT):
                return await waiting
        except TimeoutError:
            raise ConnectionError(
                f"message {message.id} did not arrive within {RECEIVE_TIMEOUT:.0f} s"
            ) from None
        finally:
            waiting.cancel()

    async def get_messages(
        self, peer_id: str, limit: int = 50, before: int | None = None, offset: int = 0
    ) -> list[Message]:
        """The newest messages with a peer, oldest first, from the local storage.

        Args:
            peer_id: a user id, or else an exact username; for a group its id.
            limit: how many at most.
            before: only messages older than this (ms).
            offset: how many of the newest to leave out.

        Raises:
            ValidationError: a negative limit or offset.
        """
        if limit < 0 or offset < 0:
            raise ValidationError("limit and offset cannot be negative")
        account = self._account
        conversation = await self._conversation_id(peer_id)
        return await account.messenger.messages.history(
            conversation, limit=limit, before=before, offset=offset
        )

    async def send_typing(self, to: str, typing: bool = True) -> None:
        """Tell a peer that we are typing, or have stopped.

        Raises:
            ConnectionError: not connected.
        """
        account = self._account
        account.messenger.typing((await account.directory.resolve(to)).id, typing=typing)

    @property
    def presence(self) -> Mapping[str, bool]:
        """User id -> online, as far as the backend told; empty while disconnected."""
        return self._account.messenger.presence.users

    def is_online(self, user_id: str) -> bool:
        """Whether a user is known to be online."""
        return self.presence.get(user_id, False)

    async def _conversation_id(self, name: str) -> str:
        """A user's or group's id, where `name` may be a username; needs no backend for an id."""
        account = self._account
        known = account.directory.cached(name)
        if known is None and not await account.messenger.messages.has_conversation(name):
            known = await account.directory.find(name)
        return name if known is None else known.id

    async def _compose(self, to: str, content: str) -> Message:
        if not content:
            raise ValidationError("the message is empty")
        try:
            size = len(content.encode())
        except UnicodeEncodeError:
            raise ValidationError("the message is not valid Unicode") from None
        if size > MAX_TEXT_BYTES:
            raise ValidationError(
                f"the message has {size:,} bytes; at most {MAX_TEXT_BYTES:,} can be sent"
            )
        account = self._account
        user = await account.directory.resolve(to)
        if user.id == account.user.id:
            raise ValidationError("a message to oneself cannot be encrypted")
        return account.messenger.text(user.id, content)
