"""Who an account is: one seed, its two key pairs, and the fingerprint people compare."""

from __future__ import annotations

import hashlib
import os
import re
import string
from typing import Final, Self

from msgspec import Struct
from nacl.bindings import (
    crypto_scalarmult_base,
    crypto_sign,
    crypto_sign_BYTES,
    crypto_sign_open,
    crypto_sign_PUBLICKEYBYTES,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from chatbot.client.exceptions import ValidationError

from .keys import KEY_BYTES, KeyPair, RandomBytes

SIGNATURE_BYTES: Final = crypto_sign_BYTES
FINGERPRINT_LENGTH: Final = 60
_GROUP: Final = 5


class Identity(Struct, frozen=True, gc=False):
    """The long-term keys of an account, all of one seed (PROTOCOL.md 1).

    Make one with `generate` or `from_seed`.

    Attributes:
        seed: 32 secret bytes: the Ed25519 seed and, used raw, the X25519 secret.
        public_key: X25519, 32 bytes; what peers pin.
        signing_key: Ed25519, 32 bytes; what signed prekeys are checked with.
    """

    seed: bytes
    public_key: bytes
    signing_key: bytes

    def __repr__(self) -> str:
        return f"<Identity {self.fingerprint}>"

    @classmethod
    def generate(cls, random: RandomBytes = os.urandom) -> Self:
        """Make a new identity of 32 random bytes."""
        return cls.from_seed(random(KEY_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Derive the identity of a seed.

        Raises:
            ValidationError: the seed is not 32 bytes long.
        """
        if len(seed) != KEY_BYTES:
            raise ValidationError(f"an identity seed has {KEY_BYTES} bytes, not {len(seed)}")
        signing_key, _ = crypto_sign_seed_keypair(seed)
        return cls(seed, crypto_scalarmult_base(seed), signing_key)

    @property
    def key_pair(self) -> KeyPair:
        """The X25519 pair."""
        return KeyPair(self.public_key, self.seed)

    @property
    def fingerprint(self) -> str:
        """The 60 characters people compare."""
        return fingerprint(self.public_key)

    def sign(self, data: bytes) -> bytes:
        """Return the detached Ed25519 signature, 64 bytes."""
        return crypto_sign(data, self.seed + self.signing_key)[:SIGNATURE_BYTES]


def verify_signature(signing_key: bytes, data: bytes, signature: bytes) -> bool:
    """Whether a detached Ed25519 signature (64 bytes) of `data` is genuine.

    A key or a signature of a wrong length is simply not genuine.
    """
    if len(signature) != SIGNATURE_BYTES or len(signing_key) != crypto_sign_PUBLICKEYBYTES:
        return False
    try:
        crypto_sign_open(signature + data, signing_key)
    except BadSignatureError:
        return False
    return True


def fingerprint(public_key: bytes) -> str:
    """The fingerprint of an X25519 identity key: 60 uppercase hexadecimal digits."""
    return hashlib.sha256(public_key).hexdigest().upper()[:FINGERPRINT_LENGTH]


def normalize_fingerprint(text: str) -> str:
    """Bring a fingerprint that somebody typed or scanned, in any spacing and case, into bare form.

    Raises:
        ValidationError: it is not 60 hexadecimal digits.
    """
    bare = re.sub(r"[\s:-]", "", text).upper()
    if len(bare) != FINGERPRINT_LENGTH or not set(bare) <= set(string.hexdigits):
        raise ValidationError(
            f"a fingerprint has {FINGERPRINT_LENGTH} hexadecimal digits; this has {len(bare)}"
            " characters, or others among them"
        )
    return bare


def format_fingerprint(bare: str) -> str:
    """Show a bare fingerprint in groups of five."""
    return " ".join(bare[i : i + _GROUP] for i in range(0, len(bare), _GROUP))
