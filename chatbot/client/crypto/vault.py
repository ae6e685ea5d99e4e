"""The vault: what lies on the disk is sealed, and one password opens it.

A random data key is wrapped under a key that Argon2id makes of the storage password, so changing
the password re-wraps 32 bytes and re-seals nothing. Values are sealed with AES-256-GCM under a
subkey that is new at every start, which is what lets a plain counter be the nonce: no two values
ever share key and nonce, even where a copy of the disk is started twice.
"""

from __future__ import annotations

import itertools
import os
import struct
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Self

import msgspec
from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta, Struct

from chatbot.client.exceptions import StorageError, ValidationError, WrongPasswordError

from .kdf import hkdf

KEY_LENGTH: Final = 32
SALT_LENGTH: Final = 32
"""The length of Argon2id's salt and of those of the subkeys."""

_VERSION: Final = 1
_PREFIX: Final = struct.Struct(">BI")  # version, salt id
_NONCE: Final = struct.Struct(">IQ")  # zero, counter
_LENGTHS: Final = struct.Struct(">III")
_NONCE_END: Final = _PREFIX.size + _NONCE.size
_TAG_LENGTH: Final = 16

_VALUE_INFO: Final = b"chatbot vault value"
_DERIVE_INFO: Final = b"chatbot vault derive "


class Argon2Parameters(Struct, frozen=True, array_like=True):
    """What Argon2id costs; bounded, because it is read back from a file.

    Attributes:
        memory: KiB.
        passes: over that memory.
        lanes: computed in parallel.
    """

    memory: Annotated[int, Meta(ge=8, le=1024 * 1024)] = 64 * 1024
    passes: Annotated[int, Meta(ge=1, le=16)] = 3
    lanes: Annotated[int, Meta(ge=1, le=16)] = 4


class VaultHeader(Struct, frozen=True, array_like=True):
    """The data key as it lies on the disk, useless without the password.

    Attributes:
        salt: for Argon2id, 16 bytes or more.
        nonce: 12 bytes.
        wrapped_key: the data key under AES-256-GCM, 48 bytes.
    """

    version: Annotated[int, Meta(ge=_VERSION, le=_VERSION)]
    parameters: Argon2Parameters
    salt: Annotated[bytes, Meta(min_length=16, max_length=64)]
    nonce: Annotated[bytes, Meta(min_length=_NONCE.size, max_length=_NONCE.size)]
    wrapped_key: Annotated[
        bytes, Meta(min_length=KEY_LENGTH + _TAG_LENGTH, max_length=KEY_LENGTH + _TAG_LENGTH)
    ]

    def __repr__(self) -> str:
        return f"<VaultHeader {self.parameters}>"  # nothing to try passwords on

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Decode what `to_bytes` gave.

        Raises:
            StorageError: it is damaged, or of a later version.
        """
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise StorageError(
                "the vault's header is damaged, or was written by a newer version of this program"
            ) from error

    def to_bytes(self) -> bytes:
        """Encode for the disk."""
        return msgspec.msgpack.encode(self)


@dataclass(frozen=True, slots=True)
class DataKey:
    """The key that everything sealed depends on: 32 random bytes, never shown."""

    secret: bytes = field(repr=False)


def create(
    password: str,
    *,
    parameters: Argon2Parameters | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> tuple[VaultHeader, DataKey]:
    """Make a data key and wrap it. Takes a good part of a second: keep it off the event loop.

    Args:
        password: the storage password.
        parameters: of Argon2id; cheaper ones than the default are for tests.
        random: gives that many random bytes.

    Raises:
        ValidationError: the password is empty.
    """
    data_key = DataKey(random(KEY_LENGTH))
    return rewrap(data_key, password, parameters=parameters, random=random), data_key


def rewrap(
    data_key: DataKey,
    password: str,
    *,
    parameters: Argon2Parameters | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> VaultHeader:
    """Wrap a data key under another password. As slow as `create`.

    Raises:
        ValidationError: the password is empty.
    """
    parameters = parameters or Argon2Parameters()
    salt, nonce = random(SALT_LENGTH), random(_NONCE.size)
    wrapping_key = _wrapping_key(password, salt, parameters)
    wrapped = AESGCM(wrapping_key).encrypt(nonce, data_key.secret, _wrapping_data(parameters))
    return VaultHeader(_VERSION, parameters, salt, nonce, wrapped)


def unlock(header: VaultHeader, password: str) -> DataKey:
    """Unwrap the data key. As slow as `create`.

    Raises:
        WrongPasswordError: it is not the password the header was made with.
        ValidationError: the password is empty.
    """
    wrapping_key = _wrapping_key(password, header.salt, header.parameters)
    associated_data = _wrapping_data(header.parameters)
    try:
        secret = AESGCM(wrapping_key).decrypt(header.nonce, header.wrapped_key, associated_data)
    except InvalidTag:
        raise WrongPasswordError("the storage password is wrong") from None
    return DataKey(secret)


def _wrapping_key(password: str, salt: bytes, parameters: Argon2Parameters) -> bytes:
    if not password:
        raise ValidationError("the storage password is empty: choose one")
    # One password, however the keyboard composed its accents; the environment may hold any bytes.
    secret = unicodedata.normalize("NFC", password).encode(errors="surrogateescape")
    try:
        return hash_secret_raw(
            secret,
            salt,
            time_cost=parameters.passes,
            memory_cost=parameters.memory,
            parallelism=parameters.lanes,
            hash_len=KEY_LENGTH,
            type=Type.ID,
        )
    except HashingError as error:
        raise StorageError(
            f"the storage password cannot be checked: {error}. What to do: make "
            f"{parameters.memory // 1024} MiB of memory available"
        ) from error


def _wrapping_data(parameters: Argon2Parameters) -> bytes:
    return b"chatbot vault key" + msgspec.msgpack.encode((_VERSION, parameters))


class Vault:
    """Seals and opens single values, each bound to the place it is stored in.

    A sealed value is 1 version byte, 4 bytes salt id, 12 bytes nonce, then ciphertext and tag: 33
    bytes longer than the plaintext.
    """

    __slots__ = ("_ciphers", "_counter", "_current", "_data_key", "_prefix", "_salts")

    def __init__(self, data_key: DataKey, salts: Mapping[int, bytes], current_salt_id: int) -> None:
        """Derive this start's subkey.

        Args:
            data_key: from `create` or `unlock`.
            salts: every start's salt (32 bytes) by its id (below 2**32).
            current_salt_id: this start's. It must be durable already, and nothing may ever have
                been sealed with it.
        """
        self._data_key = data_key
        self._salts = salts
        self._ciphers: dict[int, AESGCM] = {}
        self._current = self._cipher(current_salt_id)
        self._prefix = _PREFIX.pack(_VERSION, current_salt_id)
        self._counter = itertools.count()

    def seal(self, table: str, key: str | bytes, column: str, plaintext: bytes) -> bytes:
        """Seal a value for one column of one row, given by its primary key."""
        nonce = _NONCE.pack(0, next(self._counter))
        place = _place(table, key, column)
        return self._prefix + nonce + self._current.encrypt(nonce, plaintext, place)

    def open(self, table: str, key: str | bytes, column: str, sealed: bytes) -> bytes:
        """Open what `seal` gave for the same place.

        Raises:
            StorageError: the value is damaged, or was sealed for another place or by another vault.
        """
        try:
            version, salt_id = _PREFIX.unpack_from(sealed)
            cipher = self._ciphers.get(salt_id) or self._cipher(salt_id)
            if version == _VERSION:
                nonce, box = sealed[_PREFIX.size : _NONCE_END], sealed[_NONCE_END:]
                return cipher.decrypt(nonce, box, _place(table, key, column))
        except (struct.error, KeyError, ValueError, InvalidTag):
            pass
        raise StorageError(
            f"a sealed value in {table}.{column} does not open: it is damaged, was moved there "
            "from elsewhere, or keys.db and messages.db are not of the same backup"
        )

    def derive(self, purpose: str) -> bytes:
        """Return a secret (32 bytes) that is the same at every start of this account."""
        return _subkey(self._data_key, b"", _DERIVE_INFO + purpose.encode())

    def _cipher(self, salt_id: int) -> AESGCM:
        cipher = AESGCM(_subkey(self._data_key, self._salts[salt_id], _VALUE_INFO))
        self._ciphers[salt_id] = cipher
        return cipher


def _subkey(data_key: DataKey, salt: bytes, info: bytes) -> bytes:
    return hkdf(data_key.secret, salt=salt, info=info, length=KEY_LENGTH)


def _place(table: str, key: str | bytes, column: str) -> bytes:
    key = key.encode() if isinstance(key, str) else key
    parts = table.encode(), key, column.encode()
    return _LENGTHS.pack(*map(len, parts)) + b"".join(parts)
