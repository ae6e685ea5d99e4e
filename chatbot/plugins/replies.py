"""What a handler may answer with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TypeAlias

from chatbot.client.models import Image


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is more than a line of text.

    Attributes:
        text: beside an image, its caption.
        private: answer a group message 1:1, encrypted, to whoever wrote it.
    """

    text: str = field(default="", repr=False)
    image: Image | None = field(default=None, kw_only=True)
    private: bool = field(default=False, kw_only=True)


Content: TypeAlias = str | Image | Reply
"""What can be sent."""

Answer: TypeAlias = Content | AsyncIterator[Content] | None
"""What a handler returns: nothing, one answer, or several as they come."""


def as_reply(value: object) -> Reply | None:
    """What one returned or yielded value sends; None and empty text send nothing.

    Raises:
        TypeError: not a `Content`. The text names the type and never the value.
    """
    if isinstance(value, Reply):
        return value if value.text or value.image is not None else None
    if isinstance(value, str):
        return Reply(value) if value else None
    if isinstance(value, Image):
        return Reply(image=value)
    if value is None:
        return None
    kind = type(value).__qualname__
    raise TypeError(f"a handler answers with str, Reply, Image or None, not {kind}")
