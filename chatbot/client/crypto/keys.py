"""X25519 key pairs and Diffie-Hellman (RFC 7748)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base

from chatbot.client.exceptions import DecryptionError

KEY_BYTES: Final = 32
"""The length of every key here: X25519, Ed25519 public, root, chain and message keys."""

RandomBytes = Callable[[int], bytes]
"""A source of secret random bytes, like `os.urandom`."""


class KeyPair(Struct, frozen=True, gc=False):
    """An X25519 key pair, 32 bytes each."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"<KeyPair {self.public.hex()[:8]}…>"

    @classmethod
    def from_secret(cls, secret: bytes) -> KeyPair:
        """The pair of this X25519 secret (32 bytes)."""
        return cls(crypto_scalarmult_base(secret), secret)


def generate_key_pair(random: RandomBytes = os.urandom) -> KeyPair:
    """A fresh random key pair."""
    return KeyPair.from_secret(random(KEY_BYTES))


def diffie_hellman(secret: bytes, public: bytes) -> bytes:
    """The shared secret (32 bytes) of our secret and their public key (32 bytes each).

    Raises:
        DecryptionError: the public key is not one, or of low order: the result would be all zero.
    """
    try:
        return crypto_scalarmult(secret, public)
    except Exception as error:  # libsodium's own and length errors have no common base
        raise DecryptionError("not a usable X25519 public key", reason="malformed") from error
