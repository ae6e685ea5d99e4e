"""Our own keys: the identity, the prekeys that others open sessions with, and when each is due.

Pure: every operation says what is new or gone, and the caller stores it before it is uploaded
(PROTOCOL.md 1 and 4.4). Times are ms since the epoch, durations ms.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from chatbot.wire import KeyUpload, OneTimePrekeyBody, SignedPrekeyBody

from .identity import Identity
from .keys import KeyPair, RandomBytes, generate_key_pair

DAY: Final = 86_400_000

STORAGE_LOST_GAP: Final = 1_000_000
"""How far above the backend's ids numbering starts anew: browsers compare ids only (4.4)."""

MAX_UPLOAD: Final = 200
"""One-time prekeys that the backend takes in one body (PROTOCOL.md 2)."""

MAX_ONE_TIME_PREKEYS: Final = 10_000
"""Private halves kept at once: browsers burn one-time prekeys by the thousand and use none."""


class SignedPrekey(Struct, frozen=True, gc=False):
    """An X25519 key pair that every peer opens sessions with, until the next one follows it.

    Attributes:
        key_id: from the counter that it shares with the one-time prekeys.
        signature: by the identity's signing key over the public key, 64 bytes.
        created_at: ms.
    """

    key_id: int
    key_pair: KeyPair
    signature: bytes
    created_at: int


class OneTimePrekey(Struct, frozen=True, gc=False):
    """An X25519 key pair that opens one session.

    Attributes:
        key_id: from the counter that it shares with the signed prekeys.
        created_at: ms.
        uploaded_at: when the backend took it (ms), or None before; it is uploaded once.
    """

    key_id: int
    key_pair: KeyPair
    created_at: int
    uploaded_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrekeyPolicy:
    """How many prekeys there are, and how long they live.

    Attributes:
        target: one-time prekeys on the backend after the first upload.
        minimum: with fewer than that many there it is refilled.
        upload_limit: one-time prekeys in one refill after the first.
        rotation: age (ms) at which a signed prekey is followed by the next.
        signed_retention: age (ms) at which a signed prekey that was followed is deleted.
        one_time_retention: ms after its upload at which an unused one-time prekey is deleted.
    """

    target: int = 100
    minimum: int = 20
    upload_limit: int = 50
    rotation: int = 7 * DAY
    signed_retention: int = 60 * DAY
    one_time_retention: int = 30 * DAY


@dataclass(slots=True)
class KeyRing:
    """All private keys of an account, in memory.

    Attributes:
        signed_prekeys: by id; the newest is the published one.
        one_time_prekeys: by id.
        next_key_id: one counter for both kinds; no id is ever given out twice, and 0 never.
    """

    identity: Identity
    signed_prekeys: dict[int, SignedPrekey] = field(default_factory=dict, repr=False)
    one_time_prekeys: dict[int, OneTimePrekey] = field(default_factory=dict, repr=False)
    next_key_id: int = 1
    policy: PrekeyPolicy = field(default_factory=PrekeyPolicy, repr=False)

    @property
    def current_signed_prekey(self) -> SignedPrekey | None:
        """The newest signed prekey."""
        newest = max(self.signed_prekeys, default=None)
        return None if newest is None else self.signed_prekeys[newest]

    def become(self, identity: Identity) -> None:
        """Take another identity; the prekeys were the old one's and are gone."""
        self.identity = identity
        self.signed_prekeys.clear()
        self.one_time_prekeys.clear()

    def start_after(self, key_id: int | None) -> None:
        """Number on from far behind the newest id that the backend has.

        This ring may be an old copy: what was given out after it was made must not be again.
        """
        if key_id is not None:
            self.next_key_id = max(self.next_key_id, key_id + STORAGE_LOST_GAP)

    def new_signed_prekey(self, now: int, *, random: RandomBytes = os.urandom) -> SignedPrekey:
        """Make the signed prekey that follows the current one."""
        key_pair = generate_key_pair(random)
        prekey = SignedPrekey(
            self._take_id(), key_pair, self.identity.sign(key_pair.public), created_at=now
        )
        self.signed_prekeys[prekey.key_id] = prekey
        return prekey

    def new_one_time_prekeys(
        self, count: int, now: int, *, random: RandomBytes = os.urandom
    ) -> list[OneTimePrekey]:
        """Make `count` one-time prekeys."""
        made = [
            OneTimePrekey(self._take_id(), generate_key_pair(random), created_at=now)
            for _ in range(count)
        ]
        self.one_time_prekeys.update((prekey.key_id, prekey) for prekey in made)
        return made

    def rotation_due(self, now: int) -> bool:
        """Whether a new signed prekey has to be made and published."""
        current = self.current_signed_prekey
        return current is None or now - current.created_at >= self.policy.rotation

    def refill(self, on_backend: int, *, first: bool = False) -> int:
        """How many one-time prekeys to upload, in one body, when the backend has this many.

        Args:
            on_backend: how many the backend has.
            first: whether those are none of ours, or of ours no longer.
        """
        if first:
            return min(self.policy.target, MAX_UPLOAD)
        if on_backend >= self.policy.minimum:
            return 0
        room = MAX_ONE_TIME_PREKEYS - len(self.one_time_prekeys)
        wanted = self.policy.target - on_backend
        return max(0, min(wanted, self.policy.upload_limit, MAX_UPLOAD, room))

    def not_uploaded(self) -> list[OneTimePrekey]:
        """One-time prekeys that were made, but that no backend has confirmed yet."""
        return [prekey for prekey in self.one_time_prekeys.values() if prekey.uploaded_at is None]

    def mark_uploaded(self, prekeys: Iterable[OneTimePrekey], now: int) -> list[OneTimePrekey]:
        """Note that the backend has these; returns them as they are now."""
        marked = [
            OneTimePrekey(prekey.key_id, prekey.key_pair, prekey.created_at, uploaded_at=now)
            for prekey in prekeys
        ]
        self.one_time_prekeys.update((prekey.key_id, prekey) for prekey in marked)
        return marked

    def use_one_time_prekey(self, key_id: int) -> None:
        """Forget a one-time prekey whose session is safe."""
        self.one_time_prekeys.pop(key_id, None)

    def expire(self, now: int) -> tuple[list[int], list[int]]:
        """Forget what is too old; call it after catching up, which may still need it.

        Returns:
            The ids of the signed and of the one-time prekeys that are to be deleted. The current
            signed prekey is never among them, nor is a one-time prekey that was never uploaded.
        """
        current = self.current_signed_prekey
        signed = [
            prekey.key_id
            for prekey in self.signed_prekeys.values()
            if prekey is not current and now - prekey.created_at >= self.policy.signed_retention
        ]
        one_time = [
            prekey.key_id
            for prekey in self.one_time_prekeys.values()
            if prekey.uploaded_at is not None
            and now - prekey.uploaded_at >= self.policy.one_time_retention
        ]
        for key_id in signed:
            del self.signed_prekeys[key_id]
        for key_id in one_time:
            del self.one_time_prekeys[key_id]
        return signed, one_time

    def upload_body(
        self, signed_prekey: SignedPrekey | None, one_time_prekeys: Sequence[OneTimePrekey]
    ) -> KeyUpload:
        """What POST /api/users/prekeys takes: the identity, and what is new."""
        return KeyUpload(
            identity_key=_base64(self.identity.public_key),
            signing_key=_base64(self.identity.signing_key),
            fingerprint=self.identity.fingerprint,
            signed_prekey=None if signed_prekey is None else _signed_body(signed_prekey),
            one_time_prekeys=[
                OneTimePrekeyBody(prekey.key_id, _base64(prekey.key_pair.public))
                for prekey in one_time_prekeys
            ],
        )

    def _take_id(self) -> int:
        key_id, self.next_key_id = self.next_key_id, self.next_key_id + 1
        return key_id


def _signed_body(prekey: SignedPrekey) -> SignedPrekeyBody:
    return SignedPrekeyBody(
        prekey.key_id, _base64(prekey.key_pair.public), _base64(prekey.signature)
    )


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
