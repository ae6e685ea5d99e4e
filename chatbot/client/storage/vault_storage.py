"""The vault as it lies in keys.db: its header, and a subkey salt for every start."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from chatbot.client.crypto import vault
from chatbot.client.crypto.vault import Argon2Parameters, DataKey, Vault, VaultHeader
from chatbot.client.exceptions import StorageError, WrongPasswordError

from .connection import storage_error
from .database import Database
from .paths import MESSAGES_FILE
from .schema import KEYS_COMPONENT, KEYS_MIGRATIONS

_SCRATCH: Final = ".unlocking-"


async def open_vault(
    path: Path, password: str, *, parameters: Argon2Parameters | None, now: int
) -> tuple[Database, Vault]:
    """Open keys.db and the vault in it; make both where there is neither.

    Argon2id runs on another thread. This start's salt is on the disk before anything is sealed.

    Raises:
        WrongPasswordError: nothing on the disk was changed, and no file was made.
        ValidationError: the password is empty.
        StorageError: keys.db is damaged, of a newer version, or lost while messages.db is there.
    """
    stored = await asyncio.to_thread(_read_header, path)
    if stored is None:
        _refuse_to_replace_lost_keys(path)
        header, data_key = await asyncio.to_thread(vault.create, password, parameters=parameters)
    else:
        header, data_key = stored, await _unlock(path, stored, password)
    database = await Database.open(path)
    try:
        await database.migrate(KEYS_COMPONENT, KEYS_MIGRATIONS)
        salt_id = await database.write(partial(_begin, header, os.urandom(vault.SALT_LENGTH), now))
        return database, Vault(data_key, await database.read(_salts), salt_id)
    except BaseException:
        await database.close()
        raise


async def change_password(
    database: Database, old: str, new: str, *, parameters: Argon2Parameters | None
) -> None:
    """Wrap the same data key under another password: one small write, nothing is sealed anew.

    Raises:
        WrongPasswordError: `old` is not the password; nothing was changed.
        ValidationError: one of them is empty.
    """
    data_key = await _unlock(database.path, await database.read(_header), old)
    rewrapped = await asyncio.to_thread(vault.rewrap, data_key, new, parameters=parameters)
    await database.write(
        lambda connection: connection.execute(
            "UPDATE vault SET header = ?", (rewrapped.to_bytes(),)
        )
    )


async def _unlock(path: Path, header: VaultHeader, password: str) -> DataKey:
    try:
        return await asyncio.to_thread(vault.unlock, header, password)
    except WrongPasswordError:
        raise WrongPasswordError(
            f"the storage password does not open {path}; nothing was changed. What to do: give the "
            "one it was made with, in CHATBOT_STORAGE_PASSWORD; where none was set, that is the "
            "account's password of that time"
        ) from None


def _read_header(path: Path) -> VaultHeader | None:
    """Read the header without leaving a trace, or return None where there is no vault yet.

    It is read from a copy: after a crash SQLite moves the `-wal` into the database as soon as it
    is opened, and makes files even for a reader. All that is copied is sealed.
    """
    for leftover in path.parent.glob(f"{_SCRATCH}*"):
        shutil.rmtree(leftover)
    try:
        with TemporaryDirectory(dir=path.parent, prefix=_SCRATCH) as scratch:
            for suffix in ("", "-wal", "-journal"):
                source = path.with_name(path.name + suffix)
                if source.exists():
                    shutil.copyfile(source, Path(scratch) / source.name)
            with closing(sqlite3.connect(Path(scratch) / path.name)) as connection:
                return _select_header(connection)
    except (OSError, sqlite3.Error) as error:
        raise storage_error(path, error) from error
    except StorageError as error:
        raise StorageError(f"{path}: {error}") from error


def _select_header(connection: sqlite3.Connection) -> VaultHeader | None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    if "vault" not in tables:
        return None
    if connection.execute("SELECT 1 FROM vault").fetchone():
        return _header(connection)
    if connection.execute("SELECT 1 FROM subkey_salts").fetchone():
        raise StorageError("the vault's header is gone. What to do: restore a backup")
    return None


def _header(connection: sqlite3.Connection) -> VaultHeader:
    return VaultHeader.from_bytes(connection.execute("SELECT header FROM vault").fetchone()[0])


def _refuse_to_replace_lost_keys(path: Path) -> None:
    sealed = path.with_name(MESSAGES_FILE)
    if sealed.exists() and sealed.stat().st_size > 0:
        raise StorageError(
            f"{path} is missing or empty, but {sealed.name} beside it was sealed with its keys. "
            "What to do: restore both from one backup, or move them away to start with new keys"
        )


def _begin(header: VaultHeader, salt: bytes, now: int, connection: sqlite3.Connection) -> int:
    connection.execute("INSERT OR IGNORE INTO vault VALUES (1, ?)", (header.to_bytes(),))
    cursor = connection.execute(
        "INSERT INTO subkey_salts (salt, created_at) VALUES (?, ?)", (salt, now)
    )
    return cursor.lastrowid or 0


def _salts(connection: sqlite3.Connection) -> dict[int, bytes]:
    return dict(connection.execute("SELECT id, salt FROM subkey_salts").fetchall())
