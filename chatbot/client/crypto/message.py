"""A message as it travels: the JSON in a frame's `content` (PROTOCOL.md 1).

Nothing is believed before it is measured: sizes, depths, types, ranges and key lengths are
checked here, so that what follows only does arithmetic on numbers that make sense (4.1.10).
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from chatbot.client.exceptions import DecryptionError

from .keys import KEY_BYTES

NONCE_BYTES: Final = 24
TAG_BYTES: Final = 16
MAX_CONTENT: Final = 8 * 1024 * 1024
"""The longest content (characters) that is looked at."""

E2EE_PREFIX: Final = "E2EE:"
"""How the SRS marks content; accepted, never sent."""

_MAX_NUMBER: Final = 2**31 - 1


class X3DHHeader(Struct, frozen=True, gc=False):
    """What the responder needs to compute the same secret.

    Attributes:
        sender_identity_key: the initiator's X25519 identity key (32 bytes).
        sender_ephemeral_key: EK_a's public half (32 bytes).
        used_signed_prekey_id: which of the responder's signed prekeys.
        used_one_time_prekey_id: which of its one-time prekeys, if DH4 took part.
    """

    sender_identity_key: bytes
    sender_ephemeral_key: bytes
    used_signed_prekey_id: int
    used_one_time_prekey_id: int | None = None


class RatchetHeader(Struct, frozen=True, gc=False):
    """The Double Ratchet's header.

    Attributes:
        ratchet_key: the sender's current ratchet public key (32 bytes).
        previous_chain_length: how many messages its previous sending chain had.
        message_number: this message's number in the current one, from 0.
    """

    ratchet_key: bytes
    previous_chain_length: int
    message_number: int


class EncryptedMessage(Struct, frozen=True):
    """A message as the session gives and takes it.

    Attributes:
        ciphertext: nonce‖box.
        x3dh: present on a message that opens a session.
        caps: what our own kind of sender can read.
    """

    header: RatchetHeader
    ciphertext: bytes
    x3dh: X3DHHeader | None = None
    caps: tuple[str, ...] = ()


_Number = Annotated[int, Meta(ge=0, le=_MAX_NUMBER)]
_Capabilities = Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=16)]
_Key = Annotated[str, Meta(min_length=44, max_length=44)]


class _HeaderBody(Struct, rename="camel"):
    ratchet_key: _Key
    previous_chain_length: _Number
    message_number: _Number


class _X3DHBody(Struct, rename="camel", omit_defaults=True):
    sender_identity_key: _Key
    sender_ephemeral_key: _Key
    used_signed_prekey_id: _Number
    used_one_time_prekey_id: _Number | None = None


class _Body(Struct, omit_defaults=True):
    header: _HeaderBody
    ciphertext: str
    auth_tag: str | None = msgspec.field(default=None, name="authTag")
    x3dh: _X3DHBody | None = None
    caps: _Capabilities | None = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(_Body)


def encode_content(message: EncryptedMessage) -> str:
    """The content of a frame; `authTag` is there because the browser decodes it unseen."""
    header, x3dh = message.header, message.x3dh
    body = _Body(
        _HeaderBody(
            encode_base64(header.ratchet_key), header.previous_chain_length, header.message_number
        ),
        encode_base64(message.ciphertext),
        "",
        None if x3dh is None else _encode_x3dh(x3dh),
        message.caps or None,
    )
    return _encoder.encode(body).decode()


def decode_content(content: str) -> EncryptedMessage:
    """Read the content of a frame.

    Raises:
        DecryptionError: it is not an encrypted message, or any value in it is out of bounds.
    """
    if len(content) > MAX_CONTENT:
        raise DecryptionError("the content is too large", reason="malformed")
    try:
        body = _decoder.decode(content.removeprefix(E2EE_PREFIX))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DecryptionError(
            "the content is not an encrypted message", reason="malformed"
        ) from error
    return EncryptedMessage(
        RatchetHeader(
            _decode_key(body.header.ratchet_key),
            body.header.previous_chain_length,
            body.header.message_number,
        ),
        _decode_ciphertext(body.ciphertext),
        None if body.x3dh is None else _decode_x3dh(body.x3dh),
        tuple(body.caps or ()),
    )


def encode_base64(data: bytes) -> str:
    """The standard alphabet, with padding."""
    return b2a_base64(data, newline=False).decode()


def decode_base64(text: str) -> bytes:
    """The standard alphabet, with padding, and nothing else.

    Raises:
        DecryptionError: it is anything else.
    """
    try:
        return a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError) as error:
        raise DecryptionError("not base64 with padding", reason="malformed") from error


def _encode_x3dh(x3dh: X3DHHeader) -> _X3DHBody:
    return _X3DHBody(
        encode_base64(x3dh.sender_identity_key),
        encode_base64(x3dh.sender_ephemeral_key),
        x3dh.used_signed_prekey_id,
        x3dh.used_one_time_prekey_id,
    )


def _decode_x3dh(body: _X3DHBody) -> X3DHHeader:
    return X3DHHeader(
        _decode_key(body.sender_identity_key),
        _decode_key(body.sender_ephemeral_key),
        body.used_signed_prekey_id,
        body.used_one_time_prekey_id,
    )


def _decode_key(text: str) -> bytes:
    key = decode_base64(text)
    if len(key) != KEY_BYTES or not any(key):
        raise DecryptionError("not a 32-byte key", reason="malformed")
    return key


def _decode_ciphertext(text: str) -> bytes:
    ciphertext = decode_base64(text)
    if len(ciphertext) < NONCE_BYTES + TAG_BYTES:
        raise DecryptionError("the ciphertext is too short", reason="malformed")
    return ciphertext
