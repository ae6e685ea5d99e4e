"""What travels in a frame's `content`: the JSON of an encrypted message (PROTOCOL.md 1).

msgspec decodes and checks in one step: base64 with its padding, exact lengths, integers in range.
What a peer sends can be anything, so nothing but `DecryptionError` leaves `decode_content`.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from chatbot.client.exceptions import DecryptionError
from chatbot.wire import KeyId

from .keys import Key

MAX_CONTENT_LENGTH: Final = 10 * 1024 * 1024
"""Characters of content that are looked at: an encrypted picture of 5 MiB fits."""

E2EE_PREFIX: Final = "E2EE:"
"""What the SRS puts before the JSON. Accepted, never sent: the browser would show raw text."""

NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16
OVERHEAD: Final = NONCE_BYTES + TAG_BYTES
"""How many bytes a ciphertext is longer than its plaintext."""

Counter: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Capability: TypeAlias = Annotated[str, Meta(max_length=32)]
Capabilities: TypeAlias = Annotated[tuple[Capability, ...], Meta(max_length=32)]


class X3DHHeader(Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """What the responder needs to open the same session (X3DH 3.3).

    Attributes:
        sender_identity_key: X25519, 32 bytes.
        sender_ephemeral_key: X25519, 32 bytes.
        used_signed_prekey_id: of the responder's signed prekey.
        used_one_time_prekey_id: of the responder's one-time prekey, where DH4 took part.
    """

    sender_identity_key: Key
    sender_ephemeral_key: Key
    used_signed_prekey_id: KeyId
    used_one_time_prekey_id: KeyId | None = None


class RatchetHeader(Struct, frozen=True, gc=False, rename="camel"):
    """Where in the sender's chains a message stands (Double Ratchet 3.4).

    Attributes:
        ratchet_key: the sender's ratchet public key, 32 bytes.
        previous_chain_length: how many messages the sender's previous chain had.
        message_number: this message's number in its chain, from 0.
    """

    ratchet_key: Key
    previous_chain_length: Counter
    message_number: Counter


class EncryptedMessage(Struct, frozen=True, gc=False):
    """One encrypted message.

    Attributes:
        header: in the clear, and bound to the ciphertext only by the key it leads to.
        ciphertext: 24 bytes nonce, then the secretbox (16 bytes tag and the ciphertext proper).
        x3dh: there on messages that open a session, or may have to.
        caps: what the sender's client can read, where it says so.
    """

    header: RatchetHeader
    ciphertext: Annotated[bytes, Meta(min_length=OVERHEAD)]
    x3dh: X3DHHeader | None = None
    caps: Capabilities = ()


class _Content(Struct, frozen=True, gc=False, rename="camel"):
    """The same in the browser's own key order, with the `authTag` that it must find."""

    header: RatchetHeader
    ciphertext: bytes
    auth_tag: str
    x3dh: X3DHHeader | UnsetType
    caps: tuple[str, ...] | UnsetType


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(EncryptedMessage)


def is_encrypted(content: str, flag: object) -> bool:
    """Whether a content is meant as an encrypted message.

    Args:
        content: of a frame or of a row of a history.
        flag: what that says itself. With the prefix of the SRS the backend drops it.
    """
    return bool(flag) or content.startswith(E2EE_PREFIX)


def encode_content(message: EncryptedMessage) -> str:
    """Encode a message as compact JSON for a frame's `content`."""
    content = _Content(
        message.header, message.ciphertext, "", message.x3dh or UNSET, message.caps or UNSET
    )
    return _encoder.encode(content).decode()


def decode_content(content: str) -> EncryptedMessage:
    """Decode a frame's `content`, with or without the `E2EE:` prefix.

    Unknown members and the value of `authTag` are ignored.

    Raises:
        DecryptionError: it is no encrypted message: not JSON, too large, too deep, a member
            missing, or a value of a wrong type, length or range (reason `malformed`).
    """
    if len(content) > MAX_CONTENT_LENGTH:
        raise DecryptionError(f"content of {len(content)} characters", reason="malformed")
    try:
        return _decoder.decode(content.removeprefix(E2EE_PREFIX))
    except (ValueError, RecursionError) as error:
        raise DecryptionError(f"not an encrypted message: {error}", reason="malformed") from None
