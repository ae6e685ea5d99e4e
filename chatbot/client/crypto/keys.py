"""X25519 key pairs, and what two of them agree on."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Final, Self, TypeAlias

from msgspec import Meta, Struct
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError

from chatbot.client.exceptions import DecryptionError, ValidationError

KEY_BYTES: Final = 32
"""The length of every key here but Ed25519 secrets and signatures."""

RandomBytes: TypeAlias = Callable[[int], bytes]
"""Gives that many secret random bytes, like `os.urandom`."""

Key: TypeAlias = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
"""Exactly 32 bytes, which msgspec checks wherever one is decoded."""


class KeyPair(Struct, frozen=True, array_like=True, gc=False):
    """An X25519 key pair.

    Attributes:
        public: 32 bytes.
        secret: 32 bytes, used as they are: X25519 itself clamps them.
    """

    public: Key
    secret: Key

    def __repr__(self) -> str:
        return f"<KeyPair {self.public.hex()}>"

    @classmethod
    def from_secret(cls, secret: bytes) -> Self:
        """Make the pair of a secret.

        Raises:
            ValidationError: it is not 32 bytes long.
        """
        if len(secret) != KEY_BYTES:  # libsodium itself would read on
            raise ValidationError(f"an X25519 secret has {KEY_BYTES} bytes, not {len(secret)}")
        return cls(crypto_scalarmult_base(secret), secret)


def generate_key_pair(random: RandomBytes = os.urandom) -> KeyPair:
    """Make a key pair of 32 random bytes.

    Args:
        random: gives that many random bytes.
    """
    return KeyPair.from_secret(random(KEY_BYTES))


def diffie_hellman(secret: bytes, public: bytes) -> bytes:
    """Return what the two keys agree on, 32 bytes.

    Raises:
        DecryptionError: a key is not 32 bytes long, or `public` is one of the few points that agree
            with every secret on zero (PROTOCOL.md 4.1.10).
    """
    if len(secret) != KEY_BYTES or len(public) != KEY_BYTES:
        raise DecryptionError("an X25519 key is not 32 bytes long", reason="malformed")
    try:
        return crypto_scalarmult(secret, public)
    except CryptoError:
        raise DecryptionError("a public key is of low order", reason="malformed") from None


def check_public_key(public: bytes) -> None:
    """Refuse a public key that no secret can agree with.

    Raises:
        DecryptionError: it is not 32 bytes long, or is of low order.
    """
    diffie_hellman(bytes(KEY_BYTES), public)  # whether the result is zero depends on no secret
