"""Our own prekeys over time (PROTOCOL.md 4.4)."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from .identity import Identity
from .keys import KeyPair


class SignedPrekey(Struct, frozen=True, gc=False):
    """A medium-term key that peers open sessions with.

    Attributes:
        key_id: from the counter it shares with the one-time prekeys.
        key_pair: X25519.
        signature: by the identity's signing key, over the public key; 64 bytes.
        created_at: ms since the epoch.
    """

    key_id: int
    key_pair: KeyPair
    signature: bytes
    created_at: int


class OneTimePrekey(Struct, frozen=True, gc=False):
    """A key for one session.

    Attributes:
        key_id: from the counter it shares with the signed prekeys.
        key_pair: X25519.
        created_at: ms since the epoch.
    """

    key_id: int
    key_pair: KeyPair
    created_at: int


class KeyRing:
    """An account's secret keys in memory."""

    def __init__(
        self,
        identity: Identity,
        *,
        signed_prekeys: Iterable[SignedPrekey] = (),
        one_time_prekeys: Iterable[OneTimePrekey] = (),
    ) -> None:
        self.identity = identity
        self.signed_prekeys = {prekey.key_id: prekey for prekey in signed_prekeys}
        self.one_time_prekeys = {prekey.key_id: prekey for prekey in one_time_prekeys}
