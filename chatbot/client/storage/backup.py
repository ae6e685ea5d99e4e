"""A whole account in one sealed file, taken while it is in use, and put back elsewhere.

keys.db is copied before messages.db: a one-time prekey that a session has used may then still be
there, which harms nothing, while the other way round a session could be there without its keys.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from chatbot.client.crypto import sealed_stream
from chatbot.client.crypto.vault import Argon2Parameters
from chatbot.client.exceptions import StorageError

from .batch import transaction
from .connection import storage_error
from .database import Database
from .files import create_new_private, make_private_directory, sync_directory
from .key_storage import FILE_NAME as KEYS_FILE
from .key_storage import begin_epoch
from .paths import MESSAGES_FILE, AccountIndex, directory_name, storage_directory

_SCRATCH: Final = ".backup-"
_RESTORING: Final = ".restoring-"
_PIECE: Final = 1024 * 1024
_LENGTH_BYTES: Final = 4
_FILES: Final = (KEYS_FILE, MESSAGES_FILE)

Size = Annotated[int, Meta(ge=0)]


class Owner(Struct, frozen=True):
    """Whose account it is, on which server."""

    user_id: str
    username: str
    server_url: str


class _Manifest(Struct, frozen=True):
    """What stands before the files; `sizes` are theirs in bytes."""

    owner: Owner
    sizes: tuple[Size, Size]


# ---------------------------------------------------------------- writing one


async def write_backup(
    path: Path,
    password: str,
    owner: Owner,
    databases: Sequence[Database],
    *,
    parameters: Argon2Parameters | None = None,
) -> None:
    """Seal copies of keys.db and messages.db, in this order, into a new file (0600).

    Args:
        path: appears once the backup is complete, and not at all if it does not become so.
        password: of the backup; the files in it keep their own, the storage password.
        owner: whose they are.
        databases: both, open; they stay in use.
        parameters: what Argon2id costs; cheap ones are for tests.

    Raises:
        StorageError: the file exists, or cannot be written.
        ValidationError: the password is empty.
    """
    if await asyncio.to_thread(path.exists):
        raise StorageError(f"{path} exists already. What to do: name a file that does not")
    with TemporaryDirectory(dir=databases[0].path.parent, prefix=_SCRATCH) as scratch:
        copies = [Path(scratch) / name for name in _FILES]
        for database, copy in zip(databases, copies, strict=True):
            await database.backup_to(copy)
        await asyncio.to_thread(_seal, path, password, owner, copies, parameters)


def remove_leftovers(directory: Path) -> None:
    """Remove the copies of a backup that a crash cut short; the account's lock must be held."""
    for leftover in directory.glob(f"{_SCRATCH}*"):
        shutil.rmtree(leftover)


def _seal(
    path: Path,
    password: str,
    owner: Owner,
    copies: Sequence[Path],
    parameters: Argon2Parameters | None,
) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        create_new_private(fresh)
        with fresh.open("wb") as file:
            for piece in sealed_stream.seal(
                _contents(owner, copies), password, parameters=parameters
            ):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        fresh.unlink(missing_ok=True)
    sync_directory(path.parent)


def _contents(owner: Owner, copies: Sequence[Path]) -> Iterator[bytes]:
    sizes = tuple(copy.stat().st_size for copy in copies)
    manifest = msgspec.json.encode({"owner": owner, "sizes": sizes})
    yield len(manifest).to_bytes(_LENGTH_BYTES) + manifest
    for copy in copies:
        with copy.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece


# ---------------------------------------------------------------- putting one back


async def restore_backup(path: Path, password: str, storage_path: str | Path, *, now: int) -> Owner:
    """Put an account back; its next login establishes every session anew.

    The whole backup is verified before anything is written.

    Args:
        path: the backup.
        password: of the backup.
        storage_path: where accounts lie.
        now: ms; the new key epoch, for the ratchets in the backup must not run on.

    Returns:
        Whose account it is.

    Raises:
        WrongPasswordError: it is not the backup's password.
        StorageError: the backup is damaged or cannot be read, or the account is there already.
    """
    return await asyncio.to_thread(_restore, path, password, storage_path, now)


def _restore(path: Path, password: str, storage_path: str | Path, now: int) -> Owner:
    try:
        owner = _verify(path, password)
        directory = storage_directory(storage_path) / directory_name(owner.user_id)
        if directory.exists():
            raise StorageError(
                f"{directory} exists already. What to do: move it away first, or choose another "
                "storage path"
            )
        scratch = directory.with_name(f"{_RESTORING}{directory.name}")
        if scratch.exists():
            shutil.rmtree(scratch)  # a crash cut another restore short
        try:
            _unpack(path, password, scratch)
            _prepare(scratch, owner, now)
            scratch.rename(directory)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        sync_directory(directory.parent)
    except (OSError, sqlite3.Error) as error:
        raise storage_error(path, error) from error
    AccountIndex(storage_path).remember(owner.server_url, owner.username, owner.user_id)
    return owner


def _verify(path: Path, password: str) -> Owner:
    """Read it to its end, where alone it is known to be whole."""
    with path.open("rb") as file:
        contents = _Contents(file, password)
        manifest = contents.manifest()
        for size in manifest.sizes:
            for _ in contents.take(size):
                pass
        contents.end()
    return manifest.owner


def _unpack(path: Path, password: str, directory: Path) -> None:
    make_private_directory(directory)
    with path.open("rb") as file:
        contents = _Contents(file, password)
        for name, size in zip(_FILES, contents.manifest().sizes, strict=True):
            create_new_private(directory / name)
            with (directory / name).open("wb") as target:
                target.writelines(contents.take(size))
                target.flush()
                os.fsync(target.fileno())
        contents.end()


def _prepare(directory: Path, owner: Owner, now: int) -> None:
    """Begin a new epoch in the restored keys, which have to be those of the owner."""
    with closing(sqlite3.connect(directory / KEYS_FILE, isolation_level=None)) as connection:
        row = connection.execute("SELECT user_id FROM identity_keys").fetchone()
        if row != (owner.user_id,):
            raise StorageError("the backup holds the keys of another account")
        with transaction(connection, "BEGIN IMMEDIATE"):
            begin_epoch(now)(connection)
    sync_directory(directory)


class _Contents:
    """What a backup holds, taken from its front. Nothing unverified is ever given."""

    def __init__(self, file: IO[bytes], password: str) -> None:
        self._pieces = sealed_stream.unseal(file.read, password)
        self._waiting = b""

    def manifest(self) -> _Manifest:
        length = int.from_bytes(b"".join(self.take(_LENGTH_BYTES)))
        try:
            return msgspec.json.decode(b"".join(self.take(length)), type=_Manifest)
        except msgspec.DecodeError as error:
            raise StorageError("the backup is of a newer version of this program") from error

    def take(self, count: int) -> Iterator[bytes]:
        while count:
            piece = self._waiting or next(self._pieces, b"")
            if not piece:
                raise StorageError("the backup ends before its files do")
            yield piece[:count]
            self._waiting, count = piece[count:], max(0, count - len(piece))

    def end(self) -> None:
        if self._waiting or next(self._pieces, b""):
            raise StorageError("the backup goes on after its files")
