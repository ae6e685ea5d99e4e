"""What frames and bodies are made of: limits, header names, types of fields, and their bases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

from msgspec import Meta, Struct, field

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""The largest integer that a browser reads exactly."""

MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
"""The largest image that the backend takes (PROTOCOL.md 3)."""

IMAGE_PLACEHOLDER: Final = "📷 Image"
"""The content of a message whose picture travels in `imageData`."""

STATUS_BATCH: Final = 98
"""How many message ids fit in one status update: the database binds at most 100 values."""

AUTHENTICATED_SOCKETS_HEADER: Final = "X-Authenticated-Sockets"
"""Sent as `1` by a backend that checks the JWT of every socket."""

TOKEN_HEADER: Final = "X-Auth-Token"  # noqa: S105 - the name of a header
"""Carries the JWT on calls whose `Authorization` holds a bare user id."""

T = TypeVar("T")

Timestamp: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_SAFE_INTEGER)]
"""Milliseconds since the epoch."""

Time: TypeAlias = int | str | None
"""The same in what only people look at; the database also writes digits, and ISO 8601."""

KeyId: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
MessageStatus: TypeAlias = Literal["sent", "delivered", "read"]
MessageType: TypeAlias = Literal["text", "image"]
GroupRole: TypeAlias = Literal["owner", "admin", "member"]
Permission: TypeAlias = Literal["everyone", "admins_only"]


class Body(Struct, omit_defaults=True):
    """A REST body or frame payload whose names are the same on the wire."""


class CamelBody(Struct, omit_defaults=True, rename="camel"):
    """The same for those that the wire spells in camelCase."""


def written(make: Callable[[], T]) -> T:
    """A default for reading that is written all the same: the real backend needs the field.

    msgspec leaves out what equals a plain default, or is one of its own empty containers.
    """
    default: T = field(default_factory=lambda: make())  # noqa: PLW0108 - `list` itself is known
    return default
