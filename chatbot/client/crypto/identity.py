"""Identities and their fingerprints (PROTOCOL.md 1)."""

from __future__ import annotations

import os
import re
from hashlib import sha256
from typing import Final

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from chatbot.client.exceptions import ValidationError

from .keys import KEY_BYTES, KeyPair, RandomBytes

FINGERPRINT_LENGTH: Final = 60
SIGNATURE_BYTES: Final = 64


class Identity:
    """Who an account is: one 32-byte seed, used as Ed25519 seed and raw as X25519 secret.

    Attributes:
        seed: the secret everything follows from (32 bytes).
        key_pair: the X25519 identity key pair; its secret is the seed.
        signing_key: the Ed25519 public key (32 bytes).
    """

    __slots__ = ("_signing_secret", "key_pair", "seed", "signing_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise ValidationError(f"an identity seed has {KEY_BYTES} bytes, not {len(seed)}")
        self.seed = seed
        self.key_pair = KeyPair.from_secret(seed)
        self.signing_key, self._signing_secret = crypto_sign_seed_keypair(seed)

    def __repr__(self) -> str:
        return f"<Identity {self.fingerprint[:10]}…>"

    @classmethod
    def generate(cls, random: RandomBytes = os.urandom) -> Identity:
        """A new identity."""
        return cls(random(KEY_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> Identity:
        """The identity of this seed.

        Raises:
            ValidationError: it does not have 32 bytes.
        """
        return cls(seed)

    @property
    def public_key(self) -> bytes:
        """The X25519 identity key (32 bytes)."""
        return self.key_pair.public

    @property
    def fingerprint(self) -> str:
        """60 uppercase hex digits that a person can compare."""
        return fingerprint(self.public_key)

    def sign(self, data: bytes) -> bytes:
        """A detached Ed25519 signature (64 bytes)."""
        return crypto_sign(data, self._signing_secret)[:SIGNATURE_BYTES]


def verify_signature(signing_key: bytes, data: bytes, signature: bytes) -> bool:
    """Whether the detached Ed25519 signature (64 bytes) over `data` is this key's."""
    try:
        crypto_sign_open(signature + data, signing_key)
    except (BadSignatureError, ValueError):
        return False
    return True


def fingerprint(public_key: bytes) -> str:
    """The first 60 uppercase hex digits of the SHA-256 of an X25519 public key."""
    return sha256(public_key).hexdigest().upper()[:FINGERPRINT_LENGTH]


def normalize_fingerprint(text: str) -> str:
    """A fingerprint as people type or scan it, in any spacing and case, in its one form.

    Raises:
        ValidationError: it is not 60 hex digits.
    """
    compact = re.sub(r"[\s:-]", "", text).upper()
    if not re.fullmatch(rf"[0-9A-F]{{{FINGERPRINT_LENGTH}}}", compact):
        raise ValidationError(
            f"a fingerprint has {FINGERPRINT_LENGTH} hexadecimal digits; spaces do not matter"
        )
    return compact


def format_fingerprint(compact: str) -> str:
    """A fingerprint in groups of five, as it is shown."""
    return " ".join(compact[i : i + 5] for i in range(0, len(compact), 5))
