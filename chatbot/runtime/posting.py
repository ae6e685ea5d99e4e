"""Making messages of ours, and putting them into the outbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeVar

from chatbot.client.exceptions import ValidationError
from chatbot.client.messaging.content import MAX_TEXT_BYTES
from chatbot.client.messaging.messenger import Messenger
from chatbot.client.models import Image, Message
from chatbot.client.options import ImagePolicy
from chatbot.client.pictures import make_image
from chatbot.client.storage.batch import Unit
from chatbot.plugins.onion import Outgoing
from chatbot.plugins.people import Chat
from chatbot.plugins.replies import Reply
from chatbot.runtime.metrics import Metrics
from chatbot.wire import IMAGE_PLACEHOLDER

T = TypeVar("T")

IMAGES: Final = "image-1"
"""What a peer's `caps` hold that reads encrypted images (PROTOCOL.md 3)."""


class Post:
    """Makes messages, and commits them to the outbox together with other work.

    Args:
        images: in which form images go to peers.
    """

    def __init__(self, messenger: Messenger, metrics: Metrics, *, images: ImagePolicy) -> None:
        self._messenger = messenger
        self._metrics = metrics
        self._images = images

    async def compose(self, chat: Chat, reply: Reply, message_id: str) -> Message:
        """The message that brings a reply into a chat.

        Raises:
            ValidationError: the text is too long or no Unicode, or the image is none.
        """
        text = _checked(reply.text)
        if reply.image is None:
            message = self._messenger.text(chat.id, text, message_id=message_id)
        else:
            image = make_image(reply.image.data, caption=text or reply.image.caption)
            message = await self._with_image(chat, image, message_id)
        if chat.kind == "group":
            return replace(message, to_user="", group_id=chat.id, is_encrypted=False)
        return message

    async def post(self, messages: Sequence[Message], unit: Unit[T]) -> T:
        """Commit a unit and the messages in one transaction; then they are sent.

        A message whose id is in the outbox already is left as it is.
        """
        messenger = self._messenger
        now = messenger.now()
        expires_at = now + messenger.options.outbox_age
        direct = [message for message in messages if message.group_id is None]
        grouped = [message for message in messages if message.group_id is not None]
        queue = [messenger.outbox.enqueue(m, now=now, expires_at=expires_at) for m in grouped]

        def commit(connection: sqlite3.Connection) -> tuple[list[bool], T]:
            return [write(connection) for write in queue], unit(connection)

        posted = await messenger.sender.post(direct, expires_at=expires_at, also=commit)
        assert posted is not None  # noqa: S101 - what `commit` returned
        fresh, result = posted
        for message, is_fresh in zip(grouped, fresh, strict=True):
            if is_fresh:
                messenger.groups.submit(message)
        self._metrics.messages_out["direct"] += len(direct)
        self._metrics.messages_out["group"] += sum(fresh)
        return result

    def keyed_id(self, outgoing: Outgoing, key: str) -> str:
        """The id of what a plugin sends somebody under a key, the same every time."""
        return self._messenger.ids.of_step("key", outgoing.plugin, outgoing.chat.id, key)

    async def sent(self, message_id: str) -> Message | None:
        """A message of ours that was committed before."""
        return await self._messenger.messages.get(self._messenger.me, message_id)

    async def _with_image(self, chat: Chat, image: Image, message_id: str) -> Message:
        content = image.caption or IMAGE_PLACEHOLDER
        message = self._messenger.text(chat.id, content, message_id=message_id)
        encrypted = chat.kind == "direct" and await self._reads_images(chat.id)
        return replace(message, type="image", image=image, is_encrypted=encrypted)

    async def _reads_images(self, peer_id: str) -> bool:
        if self._images != "auto":
            return self._images == "encrypted"
        conversation = await self._messenger.conversations.open(peer_id)
        return IMAGES in conversation.record.capabilities


def _checked(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValidationError("the reply is not valid Unicode") from None
    if size > MAX_TEXT_BYTES:
        raise ValidationError(f"the reply has {size:,} bytes; at most {MAX_TEXT_BYTES:,} are sent")
    return text
