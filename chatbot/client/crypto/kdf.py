"""The key derivations of X3DH and the Double Ratchet (PROTOCOL.md 1), all on HMAC-SHA256."""

from __future__ import annotations

from hmac import digest
from typing import Final

HASH_BYTES: Final = 32

_ROOT_INFO: Final = b"WhatsAppCloneRootKey"
_CHAIN_STEP: Final = b"\x01"
_MESSAGE_KEY: Final = b"\x02"


def hkdf(input_key: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869).

    Args:
        input_key: the secret to stretch.
        salt: not secret, or an earlier secret to chain on.
        info: what the output is for.
        length: of the output, at most 255 * 32 bytes.
    """
    key = digest(salt, input_key, "sha256")
    output = block = b""
    for counter in range(1, -(-length // HASH_BYTES) + 1):
        block = digest(key, block + info + bytes((counter,)), "sha256")
        output += block
    return output[:length]


def root_step(root_key: bytes, dh_output: bytes) -> tuple[bytes, bytes]:
    """Mix a DH output into the root key: the next root key and a chain key, 32 bytes each."""
    output = hkdf(dh_output, salt=root_key, info=_ROOT_INFO, length=2 * HASH_BYTES)
    return output[:HASH_BYTES], output[HASH_BYTES:]


def chain_step(chain_key: bytes) -> tuple[bytes, bytes]:
    """Advance a chain by one message: the next chain key and this message's key, 32 bytes each."""
    return next_chain_key(chain_key), message_key(chain_key)


def next_chain_key(chain_key: bytes) -> bytes:
    """The chain key (32 bytes) after one message, without that message's key."""
    return digest(chain_key, _CHAIN_STEP, "sha256")


def message_key(chain_key: bytes) -> bytes:
    """The key (32 bytes) of the one message that stands at this place of its chain."""
    return digest(chain_key, _MESSAGE_KEY, "sha256")
