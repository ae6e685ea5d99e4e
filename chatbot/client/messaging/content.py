"""What lies inside the encryption: text as it is, a picture as JSON (PROTOCOL.md 3)."""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from chatbot.client.exceptions import DecryptionError, ValidationError
from chatbot.client.models import Image, Message
from chatbot.client.pictures import from_data_url, sniff_mime
from chatbot.wire import IMAGE_PLACEHOLDER, MAX_IMAGE_BYTES

MAX_TEXT_BYTES: Final = 64 * 1024
"""The longest text that is sent, in UTF-8 bytes."""


class _EncryptedImage(msgspec.Struct, omit_defaults=True):
    mime: str
    data: str
    caption: str | None = None
    name: str | None = None


_image_encoder: Final = msgspec.json.Encoder()
_image_decoder: Final = msgspec.json.Decoder(_EncryptedImage)


def check_text(text: str) -> None:
    """Whether a text can be sent.

    Raises:
        ValidationError: it is empty, too long, or not valid Unicode.
    """
    if not text:
        raise ValidationError("the message is empty: there is nothing to send")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValidationError("the message is not valid Unicode") from None
    if size > MAX_TEXT_BYTES:
        raise ValidationError(
            f"the message has {size:,} bytes; at most {MAX_TEXT_BYTES:,} can be sent."
            " What to do: send it in parts"
        )


def encode_plaintext(message: Message) -> bytes:
    """What is encrypted for this message, UTF-8."""
    image = message.image
    if image is None:
        return message.content.encode()
    return _image_encoder.encode(
        _EncryptedImage(
            mime=image.mime,
            data=base64.b64encode(image.data).decode(),
            caption=image.caption or None,
            name=image.name or None,
        )
    )


def shown_image(image_data: str | None, content: str) -> Image | None:
    """The picture of a message in the browser's form, where there is one of a kind we know.

    A content that is not the placeholder is somebody's caption.
    """
    if image_data is None:
        return None
    return from_data_url(image_data, caption="" if content == IMAGE_PLACEHOLDER else content)


def decode_text(plaintext: bytes) -> str:
    """The text of a decrypted message.

    Raises:
        DecryptionError: it is not UTF-8.
    """
    try:
        return plaintext.decode()
    except UnicodeDecodeError as error:
        raise DecryptionError("the plaintext is not UTF-8", reason="malformed") from error


def decode_image(plaintext: bytes) -> Image:
    """The picture of a decrypted image message; its mime type is sniffed, not believed.

    Raises:
        DecryptionError: it is not the JSON of an image of a kind we know, or too large.
    """
    try:
        body = _image_decoder.decode(plaintext)
        data = base64.b64decode(body.data, validate=True)
    except (msgspec.MsgspecError, binascii.Error, UnicodeError, RecursionError) as error:
        raise DecryptionError("the plaintext is not an image", reason="malformed") from error
    mime = sniff_mime(data)
    if mime is None or len(data) > MAX_IMAGE_BYTES:
        raise DecryptionError("not an image, or one that is too large", reason="malformed")
    return Image(data=data, mime=mime, caption=body.caption or "", name=body.name or "")
