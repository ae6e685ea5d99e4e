"""A sealed stream: any amount of data under one password, with nothing readable in it.

The STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár, 2015): AES-256-GCM chunk by chunk,
where the nonce is the chunk's number and whether it is the last one. So no chunk can be changed,
left out, repeated, moved or cut off, and neither side ever holds more than one.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chatbot.client.exceptions import StorageError, WrongPasswordError

from . import vault
from .kdf import hkdf
from .vault import Argon2Parameters, DataKey, VaultHeader

CHUNK_BYTES: Final = 64 * 1024
"""Plaintext in every chunk but the last, which may have less."""

_TAG_BYTES: Final = 16
_MAGIC: Final = b"chatbot sealed 1"
_HEADER_LENGTH: Final = struct.Struct(">H")
_INFO: Final = b"chatbot sealed stream"


def seal(
    plaintext: Iterable[bytes],
    password: str,
    *,
    parameters: Argon2Parameters | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> Iterator[bytes]:
    """Seal data of any length. The first piece takes a good part of a second: Argon2id.

    Args:
        plaintext: in pieces of any size.
        password: whoever has it can open the stream.
        parameters: of Argon2id; cheaper ones than the default are for tests.
        random: gives that many random bytes.

    Raises:
        ValidationError: the password is empty.
    """
    header, data_key = vault.create(password, parameters=parameters, random=random)
    encoded = header.to_bytes()
    yield _MAGIC + _HEADER_LENGTH.pack(len(encoded)) + encoded
    cipher = _cipher(data_key, encoded)
    for nonce, chunk in _numbered(_in_chunks(plaintext)):
        yield cipher.encrypt(nonce, chunk, None)


def unseal(read: Callable[[int], bytes], password: str) -> Iterator[bytes]:
    """Open what `seal` gave, chunk by chunk. Whatever is given has been verified.

    Args:
        read: gives that many bytes, fewer only at the end, as a file does.
        password: the one that it was sealed with.

    Raises:
        WrongPasswordError: it is not that password.
        StorageError: this is no sealed stream, or it is damaged or incomplete. What was given
            before is genuine, but not everything.
        ValidationError: the password is empty.
    """
    encoded = _read_header(read)
    try:
        data_key = vault.unlock(VaultHeader.from_bytes(encoded), password)
    except WrongPasswordError:
        raise WrongPasswordError("the password does not open this backup") from None
    cipher = _cipher(data_key, encoded)
    for nonce, chunk in _numbered(_read_chunks(read)):
        try:
            yield cipher.decrypt(nonce, chunk, None)
        except InvalidTag:
            raise _damaged() from None


def _read_header(read: Callable[[int], bytes]) -> bytes:
    prefix = read(len(_MAGIC) + _HEADER_LENGTH.size)
    if len(prefix) != len(_MAGIC) + _HEADER_LENGTH.size or not prefix.startswith(_MAGIC):
        raise StorageError("this is no backup, or one of a newer version of this program")
    (length,) = _HEADER_LENGTH.unpack(prefix[len(_MAGIC) :])
    return read(length)


def _cipher(data_key: DataKey, header: bytes) -> AESGCM:
    """The key is this stream's alone, which is what lets a counter be the nonce."""
    return AESGCM(hkdf(data_key.secret, salt=header, info=_INFO, length=vault.KEY_LENGTH))


def _numbered(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk with its nonce: its number (11 bytes) and whether it is the last (1 byte)."""
    iterator = iter(chunks)
    chunk = next(iterator, b"")
    number = 0
    for following in iterator:
        yield (number << 8).to_bytes(12), chunk
        chunk, number = following, number + 1
    yield (number << 8 | 1).to_bytes(12), chunk


def _in_chunks(plaintext: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for piece in plaintext:
        waiting += piece
        while len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting[:CHUNK_BYTES])
            del waiting[:CHUNK_BYTES]
    if waiting:
        yield bytes(waiting)


def _read_chunks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while chunk := read(CHUNK_BYTES + _TAG_BYTES):
        yield chunk


def _damaged() -> StorageError:
    return StorageError("the backup is damaged or incomplete. What to do: use another copy of it")
