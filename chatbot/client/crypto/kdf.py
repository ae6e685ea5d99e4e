"""The key derivation functions of X3DH and the Double Ratchet (PROTOCOL.md 1)."""

from __future__ import annotations

from hmac import digest
from typing import Final

ROOT_INFO: Final = b"WhatsAppCloneRootKey"
X3DH_INFO: Final = b"WHATSAPP-CLONE-X3DH"
ZERO_SALT: Final = bytes(32)


def hkdf(key_material: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 (RFC 5869).

    Args:
        length: how many bytes are wanted, at most 255 * 32.
    """
    pseudorandom_key = digest(salt, key_material, "sha256")
    block = output = digest(pseudorandom_key, info + b"\x01", "sha256")
    counter = 1
    while len(output) < length:
        counter += 1
        block = digest(pseudorandom_key, block + info + bytes((counter,)), "sha256")
        output += block
    return output[:length]


def x3dh_secret(*shared: bytes) -> bytes:
    """SK, 32 bytes, of the X3DH outputs DH1‖DH2‖DH3[‖DH4]."""
    return hkdf(b"".join(shared), salt=ZERO_SALT, info=X3DH_INFO, length=32)


def root_step(root_key: bytes, dh_output: bytes) -> tuple[bytes, bytes]:
    """KDF_RK: the next root key and a new chain key, 32 bytes each."""
    output = hkdf(dh_output, salt=root_key, info=ROOT_INFO, length=64)
    return output[:32], output[32:]


def start(shared_secret: bytes) -> tuple[bytes, bytes]:
    """The first root key and the first chain key, 32 bytes each, of an X3DH secret."""
    return root_step(shared_secret, ZERO_SALT)


def chain_step(chain_key: bytes) -> tuple[bytes, bytes]:
    """KDF_CK: the next chain key and this step's message key, 32 bytes each."""
    return digest(chain_key, b"\x01", "sha256"), digest(chain_key, b"\x02", "sha256")


def next_chain_key(chain_key: bytes) -> bytes:
    """The chain key one step on, without the message key between."""
    return digest(chain_key, b"\x01", "sha256")


def message_key(chain_key: bytes) -> bytes:
    """The message key of this step."""
    return digest(chain_key, b"\x02", "sha256")
