"""Small pictures of every kind that the client knows."""

from __future__ import annotations

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
JPEG = b"\xff\xd8\xff\xe0" + bytes(64)
PICTURES = {
    "image/png": PNG,
    "image/jpeg": JPEG,
    "image/gif": b"GIF89a" + bytes(32),
    "image/webp": b"RIFF\x20\x00\x00\x00WEBP" + bytes(32),
    "image/avif": b"\x00\x00\x00\x1cftypavif" + bytes(32),
    "image/bmp": b"BM" + bytes(32),
}
