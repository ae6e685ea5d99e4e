"""Pictures: what they are, by their content and not by anybody's word; as files and data URLs."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Final, TypeAlias

from chatbot.client.exceptions import ValidationError
from chatbot.client.models import Image
from chatbot.wire import MAX_IMAGE_BYTES

ImageSource: TypeAlias = bytes | bytearray | memoryview | str | Path
"""A picture's bytes, the path of its file, or base64 of it (a data URL or bare)."""

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)


def sniff_mime(data: bytes) -> str | None:
    """The mime type that the first bytes tell, or None for anything but a picture.

    SVG is text that can hold scripts, so it does not count as a picture.
    """
    for signature, mime in _SIGNATURES:
        if data.startswith(signature):
            return mime
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] in {b"ftypavif", b"ftypavis"}:
        return "image/avif"
    return None


def make_image(data: bytes, *, caption: str = "", name: str = "") -> Image:
    """A picture to send.

    Raises:
        ValidationError: empty, not a picture, or larger than the backend takes (5 MiB).
    """
    if not data:
        raise ValidationError("the image is empty")
    if len(data) > MAX_IMAGE_BYTES:
        raise ValidationError(
            f"the image has {len(data):,} bytes; the backend takes at most {MAX_IMAGE_BYTES:,}."
            " What to do: scale it down"
        )
    mime = sniff_mime(data)
    if mime is None:
        raise ValidationError(
            "this is not an image that we know: send PNG, JPEG, GIF, WebP, AVIF or BMP"
        )
    return Image(data=data, mime=mime, caption=caption, name=name)


def load_image(source: ImageSource, *, caption: str = "") -> Image:
    """A picture to send, from wherever it is. Reads a file: not for the event loop's thread.

    Raises:
        ValidationError: there is no such file, or it is no picture that can be sent.
    """
    if not isinstance(source, str | Path):
        return make_image(bytes(source), caption=caption)
    if isinstance(source, str) and source.startswith("data:"):
        if (image := from_data_url(source, caption=caption)) is None:
            raise ValidationError("this data URL holds no image that we know, or one too large")
        return image
    if isinstance(source, str) and (data := _from_base64(source)) is not None:
        return make_image(data, caption=caption)
    return make_image(_read(Path(source).expanduser()), caption=caption)


def _from_base64(text: str) -> bytes | None:
    """The picture whose base64 this is; None for what must be a path."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return None if sniff_mime(data) is None else data


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe would never end
            raise ValidationError(f"there is no image file {str(path)[:200]!r}")
        with path.open("rb") as file:
            return file.read(MAX_IMAGE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise ValidationError(f"{str(path)[:200]!r} cannot be read: {reason}") from error


def save_image(image: Image, path: str | Path) -> Path:
    """Write a picture's bytes into a file, replacing what was there; returns its path.

    Raises:
        ValidationError: the file cannot be written.
    """
    target = Path(path).expanduser()
    try:
        target.write_bytes(image.data)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise ValidationError(f"{target} cannot be written: {reason}") from error
    return target


def to_data_url(image: Image) -> str:
    """The form in which the browser client shows a picture."""
    return f"data:{image.mime};base64,{base64.b64encode(image.data).decode()}"


def from_data_url(url: str, *, caption: str = "") -> Image | None:
    """The picture in a data URL, or None where there is none that we know."""
    head, comma, body = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    if len(body) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        return None
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return None
    mime = sniff_mime(data)
    return None if mime is None else Image(data=data, mime=mime, caption=caption)
