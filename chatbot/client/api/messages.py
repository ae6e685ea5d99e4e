"""1:1 messages: sending texts and pictures, and waiting for them (SRS 5.2)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from chatbot.client.exceptions import ConnectionError, ValidationError
from chatbot.client.messaging.content import check_text
from chatbot.client.models import Message
from chatbot.client.pictures import ImageSource, load_image, save_image

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
        sender = self._account.messenger.sender
        return await sender.send(message, expires_at=self._expires_at(message))

    async def queue_message(self, to: str, content: str) -> Message:
        """Queue an encrypted text message durably; it is sent as soon as that is possible.

        Returns:
            The message, `pending`. `on_message_status` and `on_send_failed` tell what became of it.

        Raises:
            SessionNotFoundError: there is no such user.
            ValidationError: the text is empty or too long, or the recipient is ourselves.
        """
        message = await self._compose(to, content)
        sender = self._account.messenger.sender
        await sender.post([message], expires_at=self._expires_at(message))
        return message

    async def send_image(self, to: str, image_data: ImageSource, caption: str = "") -> Message:
        """Send a picture: encrypted where the peer is known to read that, else as browsers show it.

        The option `images` decides otherwise. A browser shows no caption with a picture, so for a
        browser it goes as an encrypted text message of its own, right behind the picture.

        Args:
            to: the recipient's user id, or else its exact username.
            image_data: PNG, JPEG, GIF, WebP, AVIF or BMP of at most 5 MiB: its bytes, the path of
                a file, or base64 (bare or as a data URL).
            caption: a text, at most 64 KiB of UTF-8.

        Returns:
            The picture's message, with a status as `send_message` has it; `is_encrypted` says
            truly in which form it went.

        Raises:
            ValidationError: it is no picture, or too large; the caption is too long; the recipient
                is ourselves; or the option forbids the only form that the peer is known to read.
            PermissionDeniedError: the backend does not let us send images; nothing is kept.
            SessionNotFoundError: there is no such user, or it has published no keys.
            ConnectionError: nothing reached the backend; nothing is kept.
        """
        messenger = self._account.messenger
        recipient = await self._recipient(to)
        image = await asyncio.to_thread(load_image, image_data, caption=caption)
        policy = self._options.images
        picture, *behind = await messenger.compose.image(recipient.id, image, policy)
        expires_at = self._expires_at(picture)
        sent = await messenger.sender.send(picture, expires_at=expires_at)
        if behind:
            await messenger.sender.post(behind, expires_at=expires_at)
        return sent

    async def save_image(self, message: Message, path: str | Path) -> Path:
        """Write a message's picture into a file, replacing what was there; returns its path.

        Raises:
            ValidationError: the message holds no picture, or the file cannot be written.
        """
        if message.image is None:
            raise ValidationError("this message holds no image")
        return await asyncio.to_thread(save_image, message.image, path)

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

    async def _compose(self, to: str, content: str) -> Message:
        check_text(content)
        recipient = await self._recipient(to)
        return self._account.messenger.compose.text(recipient.id, content)
