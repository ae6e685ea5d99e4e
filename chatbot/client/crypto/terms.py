"""On what terms a message is accepted, and what becomes of one (PROTOCOL.md 4.1, 4.3)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from chatbot.client.exceptions import DecryptionError


class IdentityUnknownError(DecryptionError):
    """The tag verifies, but under an identity key that is not the pinned one.

    Attributes:
        identity_key: the claimed X25519 identity key (32 bytes), to be compared with the
            published one before `PeerRecord.accept_identity`.
    """

    def __init__(self, identity_key: bytes) -> None:
        super().__init__("the sender's identity key is not the pinned one", reason="identity")
        self.identity_key = identity_key


class BudgetExhaustedError(DecryptionError):
    """The sender's failures have used up the minute's budget: try again later, drop nothing."""


class GapError(DecryptionError):
    """It is genuine, and messages before it have not come, or may not have: read those first."""


class Terms(Struct, frozen=True, kw_only=True):
    """On what terms a message is accepted.

    Attributes:
        gaps: whether messages before it may be missing (PROTOCOL.md 4.3). One that opens a session
            never shows that none are.
        again: whether it has failed before, and has to leave some of the budget to others.
    """

    gaps: bool = True
    again: bool = False


ANY_TERMS: Final = Terms()


class Received(Struct, frozen=True, kw_only=True):
    """A decrypted message.

    Attributes:
        plaintext: UTF-8 as the peer encrypted it, not yet decoded.
        session_id: the session it decrypted in.
        opened: whether its `x3dh` opened that session.
        identity_key: the peer's identity key (32 bytes) that the session stands on.
        used_one_time_prekey: the id of our one-time prekey to delete once this is durable.
    """

    plaintext: bytes
    session_id: str
    opened: bool
    identity_key: bytes
    used_one_time_prekey: int | None = None
