"""Making messages of ours, ready to be sent, in a form that their readers can read.

Browsers show only pictures that travel in clear, and show no caption with them (PROTOCOL.md 3).
So a caption for a browser, or for a group, is a text message of its own right behind the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal

from chatbot.client.exceptions import ValidationError
from chatbot.client.models import Image, Message
from chatbot.wire import IMAGE_PLACEHOLDER

from .content import check_text
from .conversation import Conversations
from .message_ids import MessageIds

ImagePolicy = Literal["auto", "encrypted", "browser"]
"""`auto` encrypts for peers known to read it, `encrypted` refuses rather than sends in clear,
`browser` always sends the form that browsers show."""

READS_IMAGES: Final = "image-1"
"""What the `caps` hold of a peer that reads encrypted pictures."""


class Composer:
    """Makes messages; sending them is somebody else's work.

    Everywhere `message_id` is a new id unless one is given. The id of a caption follows from its
    picture's, so whoever makes a picture's messages again makes the same ones.
    """

    def __init__(
        self, *, me: str, ids: MessageIds, conversations: Conversations, clock: Callable[[], int]
    ) -> None:
        self._me = me
        self._ids = ids
        self._conversations = conversations
        self._clock = clock

    def text(self, to: str, content: str, *, message_id: str | None = None) -> Message:
        """A text for one peer (a user id).

        Raises:
            ValidationError: the text is empty, too long, or not valid Unicode.
        """
        check_text(content)
        return self._message(to, content, message_id)

    def group_text(self, group_id: str, content: str, *, message_id: str | None = None) -> Message:
        """A text for a group; raises like `text`."""
        return _for_group(self.text("", content, message_id=message_id), group_id)

    async def image(
        self, to: str, image: Image, policy: ImagePolicy, *, message_id: str | None = None
    ) -> list[Message]:
        """A picture for one peer: one message, or two where its caption cannot go with it.

        Raises:
            ValidationError: the policy is `encrypted`, and the peer is not known to read that; or
                the caption is too long, or not valid Unicode.
        """
        if image.caption:
            check_text(image.caption)
        if await self._encrypts(to, policy):
            message = self._message(to, image.caption or IMAGE_PLACEHOLDER, message_id)
            return [replace(message, type="image", image=image)]
        return self._shown(to, image, message_id)

    def group_image(
        self, group_id: str, image: Image, *, message_id: str | None = None
    ) -> list[Message]:
        """A picture for a group, its caption behind it; raises as `text` does of the caption."""
        if image.caption:
            check_text(image.caption)
        return [_for_group(m, group_id) for m in self._shown("", image, message_id)]

    async def _encrypts(self, peer_id: str, policy: ImagePolicy) -> bool:
        if policy == "browser":
            return False
        conversation = await self._conversations.open(peer_id)
        known = READS_IMAGES in conversation.record.capabilities
        if policy == "encrypted" and not known:
            raise ValidationError(
                f"{peer_id} is not known to read encrypted images, and the setting images ="
                ' "encrypted" forbids others. What to do: wait for a message from there, or set'
                ' images = "auto"'
            )
        return known

    def _shown(self, to: str, image: Image, message_id: str | None) -> list[Message]:
        """A picture in the form that browsers show, and its caption."""
        picture = replace(
            self._message(to, IMAGE_PLACEHOLDER, message_id),
            type="image",
            image=replace(image, caption=""),
            is_encrypted=False,
        )
        if not image.caption:
            return [picture]
        return [picture, self._message(to, image.caption, self._ids.of_step("caption", picture.id))]

    def _message(self, to: str, content: str, message_id: str | None) -> Message:
        return Message(
            id=message_id or self._ids.new(),
            from_user=self._me,
            to_user=to,
            content=content,
            timestamp=self._clock(),
            status="pending",
            is_encrypted=True,
        )


def _for_group(message: Message, group_id: str) -> Message:
    return replace(message, group_id=group_id, is_encrypted=False)
