"""The key derivations of X3DH and the Double Ratchet (PROTOCOL.md 1), all on HMAC-SHA256.

HMAC is spelled out on hashlib, as RFC 2104 defines it and Python's own `hmac.py` does: a chain step
takes two HMACs under one key and an HKDF three under two, and `hmac.digest`, which sets up a
context in OpenSSL every time, takes twice as long for that. The tests hold the one against the
other.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, TypeAlias

HASH_BYTES: Final = 32

_ROOT_INFO: Final = b"WhatsAppCloneRootKey"
_FIRST_BLOCK: Final = _ROOT_INFO + b"\x01"
_SECOND_BLOCK: Final = _ROOT_INFO + b"\x02"
_CHAIN_STEP: Final = b"\x01"
_MESSAGE_KEY: Final = b"\x02"

_BLOCK_BYTES: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))

_Pads: TypeAlias = tuple[bytes, bytes]


def _pads(key: bytes) -> _Pads:
    """The blocks that HMAC under this key hashes before the message and before the inner hash."""
    if len(key) > _BLOCK_BYTES:
        key = sha256(key).digest()
    block = key.ljust(_BLOCK_BYTES, b"\0")
    return block.translate(_INNER), block.translate(_OUTER)


def _mac(pads: _Pads, message: bytes) -> bytes:
    inner, outer = pads
    return sha256(outer + sha256(inner + message).digest()).digest()


def hkdf(input_key: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869).

    Args:
        input_key: the secret to stretch.
        salt: not secret, or an earlier secret to chain on.
        info: what the output is for.
        length: of the output, at most 255 * 32 bytes.
    """
    pads = _extract(input_key, salt)
    output = block = b""
    for counter in range(1, -(-length // HASH_BYTES) + 1):
        block = _mac(pads, block + info + bytes((counter,)))
        output += block
    return output[:length]


def _extract(input_key: bytes, salt: bytes) -> _Pads:
    return _pads(_mac(_pads(salt), input_key))


def root_step(root_key: bytes, dh_output: bytes) -> tuple[bytes, bytes]:
    """Mix a DH output into the root key: the next root key and a chain key, 32 bytes each.

    They are the two blocks that HKDF gives for 64 bytes, taken as they come.
    """
    pads = _extract(dh_output, root_key)
    next_root_key = _mac(pads, _FIRST_BLOCK)
    return next_root_key, _mac(pads, next_root_key + _SECOND_BLOCK)


def chain_step(chain_key: bytes) -> tuple[bytes, bytes]:
    """Advance a chain by one message: the next chain key and this message's key, 32 bytes each."""
    pads = _pads(chain_key)
    return _mac(pads, _CHAIN_STEP), _mac(pads, _MESSAGE_KEY)


def next_chain_key(chain_key: bytes) -> bytes:
    """The chain key (32 bytes) after one message, without that message's key."""
    return _mac(_pads(chain_key), _CHAIN_STEP)


def message_key(chain_key: bytes) -> bytes:
    """The key (32 bytes) of the one message that stands at this place of its chain."""
    return _mac(_pads(chain_key), _MESSAGE_KEY)
