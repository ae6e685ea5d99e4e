"""One X3DH session with a peer: its ratchet, the keys it skipped, and where it came from.

A peer has many of them (`session_manager`). A session is tried without being touched: `decrypt`
returns what *would* change, and `apply` changes it once the caller has decided to believe it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from . import ratchet
from .keys import Key, KeyPair
from .message import EncryptedMessage, RatchetHeader, X3DHHeader
from .ratchet import Decryption, RatchetState

MAX_SKIPPED_KEYS: Final = 2000
"""Skipped message keys kept per session, oldest out first (PROTOCOL.md 4.1.2)."""

MAX_RETIRED_KEYS: Final = 20
"""How many former remote ratchet keys are remembered, to refuse a second DH step to one of them.

A message under a key older than these costs a DH operation from the failure budget and then fails
its tag, since our own half of that step is gone.
"""

MAX_TRIED_KEYS: Final = 8
"""How many unknown remote ratchet keys are remembered, with what a DH step to them leads to.

All messages of a chain that is not this session's then cost one DH operation together.
"""

SkippedId = tuple[bytes, int]
"""A skipped message: the remote ratchet key (32 bytes) of its chain and its number in it."""


class SessionHead(Struct, frozen=True, array_like=True):
    """What is stored of a session, sealed, on every message; skipped keys are rows of their own."""

    opened_by_us: bool
    remote_identity_key: bytes
    ephemeral_key: bytes
    signed_prekey_id: int
    one_time_prekey_id: int | None
    opened_at: int
    used_at: int
    ratchet: RatchetState
    retired: tuple[bytes, ...] = ()
    last_use: int = 0


_head_encoder: Final = msgspec.msgpack.Encoder()
_head_decoder: Final = msgspec.msgpack.Decoder(SessionHead)


class Session:
    """A candidate for decrypting a peer's messages, and perhaps the one to send in.

    Attributes:
        id: unique among the peer's sessions.
        opened_by_us: whether we were the X3DH initiator.
        remote_identity_key: the peer's X25519 identity key (32 bytes) that X3DH vouched for.
        ephemeral_key: the X3DH ephemeral public key (32 bytes) that opened the session.
        signed_prekey_id: the responder's signed prekey that was used.
        one_time_prekey_id: the responder's one-time prekey, where DH4 took part.
        opened_at: ms since the epoch.
        used_at: ms; when a message was last sent or decrypted in it.
        last_use: which of all uses of the peer's sessions that was: clocks are set back, this not.
        ratchet: the Double Ratchet's state.
        skipped: message keys (32 bytes) kept for late messages, oldest first.
    """

    __slots__ = (
        "_skipped_in_chain",
        "_tried",
        "ephemeral_key",
        "id",
        "last_use",
        "one_time_prekey_id",
        "opened_at",
        "opened_by_us",
        "ratchet",
        "remote_identity_key",
        "retired",
        "signed_prekey_id",
        "skipped",
        "used_at",
    )

    def __init__(
        self, session_id: str, head: SessionHead, skipped: dict[SkippedId, bytes] | None = None
    ) -> None:
        self.id = session_id
        self.opened_by_us = head.opened_by_us
        self.remote_identity_key = head.remote_identity_key
        self.ephemeral_key = head.ephemeral_key
        self.signed_prekey_id = head.signed_prekey_id
        self.one_time_prekey_id = head.one_time_prekey_id
        self.opened_at = head.opened_at
        self.used_at = head.used_at
        self.ratchet = head.ratchet
        self.retired = head.retired
        self.last_use = head.last_use
        self.skipped: dict[SkippedId, bytes] = skipped if skipped is not None else {}
        self._skipped_in_chain = Counter(ratchet_key for ratchet_key, _ in self.skipped)
        self._tried: dict[bytes, tuple[Key, Key]] = {}

    def __repr__(self) -> str:
        role = "initiator" if self.opened_by_us else "responder"
        return f"<Session {self.id} {role} skipped={len(self.skipped)}>"

    @classmethod
    def initiate(
        cls,
        session_id: str,
        shared_secret: bytes,
        x3dh: X3DHHeader,
        *,
        remote_identity_key: bytes,
        now: int,
        key_pair: KeyPair | None = None,
    ) -> Session:
        """Start the session that our own `x3dh` header opens."""
        state = ratchet.start_initiator(shared_secret, key_pair)
        return cls(session_id, _head(x3dh, remote_identity_key, state, now, opened_by_us=True))

    @classmethod
    def respond(
        cls, session_id: str, shared_secret: bytes, message: EncryptedMessage, *, now: int
    ) -> Session:
        """Start the session that a peer's message with an `x3dh` header opens."""
        x3dh = message.x3dh
        if x3dh is None:
            raise ValueError("only a message with an x3dh header opens a session")
        state = ratchet.start_responder(shared_secret, message.header.ratchet_key)
        return cls(session_id, _head(x3dh, x3dh.sender_identity_key, state, now))

    @classmethod
    def from_bytes(
        cls, session_id: str, data: bytes, skipped: dict[SkippedId, bytes] | None = None
    ) -> Session:
        """Restore what `to_bytes` gave, with its skipped keys.

        Raises:
            msgspec.DecodeError: `data` is not a stored session.
        """
        return cls(session_id, _head_decoder.decode(data), skipped)

    def to_bytes(self) -> bytes:
        """Encode all but the skipped keys. Holds secrets: seal it."""
        return _head_encoder.encode(
            SessionHead(
                self.opened_by_us,
                self.remote_identity_key,
                self.ephemeral_key,
                self.signed_prekey_id,
                self.one_time_prekey_id,
                self.opened_at,
                self.used_at,
                self.ratchet,
                self.retired,
                self.last_use,
            )
        )

    @property
    def sending_ratchet_key(self) -> bytes | None:
        """Our own ratchet public key (32 bytes); None for a responder that has not sent yet."""
        key_pair = self.ratchet.key_pair
        return None if key_pair is None else key_pair.public

    def knows(self, ratchet_key: bytes) -> bool:
        """Whether the peer has used this ratchet key in this session before."""
        return (
            ratchet_key == self.ratchet.remote_key
            or ratchet_key in self.retired
            or ratchet_key in self._skipped_in_chain
        )

    def dh_operations(self, header: RatchetHeader) -> int:
        """How many DH operations show whether a message with this header is genuine."""
        return not (self.knows(header.ratchet_key) or header.ratchet_key in self._tried)

    def chain_steps(self, header: RatchetHeader) -> int:
        """How many chain steps show that, at the most."""
        if header.ratchet_key == self.ratchet.remote_key:
            return max(0, header.message_number - self.ratchet.receiving_length) + 1
        return 0 if self.knows(header.ratchet_key) else header.message_number + 1

    def decrypt(
        self, message: EncryptedMessage, *, random: Callable[[int], bytes] = os.urandom
    ) -> Decryption:
        """Decrypt without changing anything; pass the result to `apply` to make it so.

        Raises:
            DecryptionError: the tag does not verify, or the key is used up or forgotten.
            MessageSkipError: more than 1000 keys would be skipped in one step.
        """
        ratchet_key = message.header.ratchet_key
        if ratchet_key != self.ratchet.remote_key and self.knows(ratchet_key):
            return ratchet.decrypt_skipped(
                self.ratchet, self.skipped, message.header, message.ciphertext
            )
        return ratchet.decrypt(
            self.ratchet,
            self.skipped,
            message.header,
            message.ciphertext,
            step=self._receiving_step,
            random=random,
        )

    def _receiving_step(self, state: RatchetState, ratchet_key: bytes) -> tuple[Key, Key]:
        keys = self._tried.get(ratchet_key)
        if keys is None:
            keys = ratchet.receiving_step(state, ratchet_key)
            if len(self._tried) == MAX_TRIED_KEYS:
                del self._tried[next(iter(self._tried))]
            self._tried[ratchet_key] = keys
        return keys

    def apply(self, decryption: Decryption, now: int) -> list[SkippedId]:
        """Take over what a decryption changed; returns the skipped keys that are gone now."""
        gone: list[SkippedId] = []
        if decryption.used is not None:
            gone.append(self._forget(decryption.used))
        for key in decryption.added:
            self.skipped[key.ratchet_key, key.number] = key.message_key
            self._skipped_in_chain[key.ratchet_key] += 1
        while len(self.skipped) > MAX_SKIPPED_KEYS:
            gone.append(self._forget(next(iter(self.skipped))))
        if decryption.stepped:
            self._tried.clear()
            if self.ratchet.remote_key is not None:
                self.retired = (*self.retired[1 - MAX_RETIRED_KEYS :], self.ratchet.remote_key)
        self.ratchet = decryption.state
        self.used_at = now
        return gone

    def _forget(self, skipped_id: SkippedId) -> SkippedId:
        del self.skipped[skipped_id]
        ratchet_key = skipped_id[0]
        self._skipped_in_chain[ratchet_key] -= 1
        if not self._skipped_in_chain[ratchet_key]:
            del self._skipped_in_chain[ratchet_key]
        return skipped_id

    def encrypt(
        self, plaintext: bytes, now: int, *, random: Callable[[int], bytes] = os.urandom
    ) -> tuple[RatchetHeader, bytes]:
        """Encrypt the next message of the sending chain: its header and nonce‖box."""
        header, ciphertext, self.ratchet = ratchet.encrypt(self.ratchet, plaintext, random=random)
        self.used_at = now
        return header, ciphertext


def _head(
    x3dh: X3DHHeader,
    remote_identity_key: bytes,
    state: RatchetState,
    now: int,
    *,
    opened_by_us: bool = False,
) -> SessionHead:
    return SessionHead(
        opened_by_us=opened_by_us,
        remote_identity_key=remote_identity_key,
        ephemeral_key=x3dh.sender_ephemeral_key,
        signed_prekey_id=x3dh.used_signed_prekey_id,
        one_time_prekey_id=x3dh.used_one_time_prekey_id,
        opened_at=now,
        used_at=now,
        ratchet=state,
    )
