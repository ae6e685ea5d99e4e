"""What the backend says no with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

INVALID_FRAME: Final = "Invalid message format"
"""What any frame that cannot be served is answered with (PROTOCOL.md 3)."""

NOT_FOUND: Final = 404


class ServerError(Exception):
    """The backend cannot start or go on: the text says what stands in the way and what to do."""


class DatabaseError(ServerError):
    """Its database cannot be used: not writable, damaged, of a newer version, or in use."""


class ListenError(ServerError):
    """It cannot listen where it was told to: most often, the port is taken."""


class Refused(Exception):  # noqa: N818 - an answer to the caller, not a fault of ours
    """A call or frame that is not served; `text` goes to the caller as it is.

    Attributes:
        status: the HTTP status of a call; frames have none.
        closes: whether the socket it came over is closed after the answer.
    """

    def __init__(
        self,
        status: int,
        text: str,
        *,
        closes: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.closes = closes
        self.headers = headers


def unauthorized() -> Refused:
    """The answer to a caller who is nobody, or somebody else than claimed."""
    return Refused(401, "Unauthorized")


def invalid_frame() -> Refused:
    """The answer to a frame that makes no sense."""
    return Refused(400, INVALID_FRAME)
