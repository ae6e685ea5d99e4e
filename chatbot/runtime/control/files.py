"""What may be wrong with an account's files; found without opening them for writing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Final

from chatbot.client.exceptions import StorageError, StorageLockedError
from chatbot.client.storage import schema as client_schema
from chatbot.client.storage.connection import connect_reader, storage_error
from chatbot.client.storage.key_storage import FILE_NAME as KEYS_FILE
from chatbot.client.storage.lock import FILE_NAME as LOCK_FILE
from chatbot.client.storage.lock import AccountLock
from chatbot.client.storage.paths import MESSAGES_FILE
from chatbot.runtime import schema as runtime_schema
from chatbot.runtime.control.findings import Finding

LITTLE_SPACE: Final = 200 * 1024 * 1024
"""Bytes free on the disk below which it is time to act."""

KNOWN_VERSIONS: Final[Mapping[str, int]] = MappingProxyType(
    {
        client_schema.KEYS_COMPONENT: len(client_schema.KEYS_MIGRATIONS),
        client_schema.COMPONENT: len(client_schema.MIGRATIONS),
        runtime_schema.COMPONENT: len(runtime_schema.MIGRATIONS),
    }
)
"""The newest tables that this program knows, by component."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def examine_files(storage: Path, directory: Path) -> list[Finding]:
    """Look at the folder of all accounts, and at one account's folder in it."""
    return [
        _permissions(directory),
        _writable(directory),
        _space(storage),
        _lock(directory),
        *(_database(directory / name) for name in (KEYS_FILE, MESSAGES_FILE)),
    ]


def _permissions(directory: Path) -> Finding:
    if os.name != "posix":
        return Finding("permissions", "are the folder's")
    paths = [directory, *directory.iterdir()]
    open_ones = [path for path in paths if path.lstat().st_mode & _OTHERS]
    if not open_ones:
        return Finding("permissions", "the files are their owner's alone")
    return Finding(
        "permissions",
        f"other users of this machine can open {', '.join(map(str, open_ones))}",
        f"chmod -R go-rwx {directory}",
    )


def _writable(directory: Path) -> Finding:
    paths = [directory, *directory.glob("*.db")]
    closed = [str(path) for path in paths if not os.access(path, os.R_OK | os.W_OK)]
    if not closed:
        return Finding("folder", f"{directory} is writable")
    return Finding(
        "folder",
        f"not writable: {', '.join(closed)}",
        "run this as the bot's user, give the files to it (chown), or make the disk writable",
    )


def _space(storage: Path) -> Finding:
    free = shutil.disk_usage(storage).free
    advice = "free some; without any the bot stops" if free < LITTLE_SPACE else None
    return Finding("disk", f"{free // 1_000_000} MB free", advice)


def _lock(directory: Path) -> Finding:
    try:
        left_by = (directory / LOCK_FILE).read_text(errors="replace")
        with AccountLock(directory):
            pass
    except FileNotFoundError:
        return Finding("lock", "not taken")
    except StorageLockedError as error:
        return Finding("lock", f"process {error.pid} has the account open")
    except (OSError, StorageError) as error:
        return Finding("lock", str(error), "make the folder writable for this user")
    if not left_by:
        return Finding("lock", "not taken: the bot does not run")
    return Finding("lock", f"left behind by process {left_by}, which died; it is in nobody's way")


def _database(path: Path) -> Finding:
    """Read a database through, and compare the versions of its tables with ours."""
    try:
        with closing(connect_reader(path)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            newer = list(_newer(connection))
    except sqlite3.Error as error:
        state, _, advice = str(storage_error(path, error)).partition(" What to do: ")
        return Finding(path.name, state, advice)
    if verdict != "ok":
        return Finding(
            path.name, f"damaged: {verdict}", "restore a backup; nothing was changed in the file"
        )
    if newer:
        return Finding(
            path.name,
            f"written by a newer version of this program: {', '.join(newer)}",
            "install that version, or restore a backup of before",
        )
    return Finding(path.name, "whole, and its tables are known")


def _newer(connection: sqlite3.Connection) -> Iterator[str]:
    for component, version in connection.execute("SELECT component, version FROM schema_versions"):
        if component in KNOWN_VERSIONS and version > KNOWN_VERSIONS[component]:
            yield f"{component} {version}"
