"""Files and directories that are their owner's alone, and that survive a power loss whole.

POSIX modes are set from the first byte on. Windows has none: there the user's directory and its
access list keep others out, and a rename is durable without syncing the directory.
"""

from __future__ import annotations

import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

_FILE: Final = 0o600
_DIRECTORY: Final = 0o700
_OTHERS: Final = 0o077
_POSIX: Final = os.name == "posix"

logger = logging.getLogger(__name__)


def create_private(path: Path) -> None:
    """Make sure that the file is there and is its owner's alone (0600).

    SQLite gives its `-wal` and `-shm` files the mode of the database.

    Raises:
        OSError: it can be neither created nor tightened.
    """
    try:
        create_new_private(path)
    except FileExistsError:
        tighten(path)


def create_new_private(path: Path) -> None:
    """Make an empty file that is its owner's alone (0600).

    Raises:
        FileExistsError: it is there already, and was left alone.
        OSError: it cannot be created.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE))


def make_private_directory(path: Path) -> None:
    """Make the directory (0700) and what is missing of its parents; one that is there is kept.

    Raises:
        OSError: it cannot be created, or a file is in its place.
    """
    for missing in reversed([p for p in (path, *path.parents) if not p.is_dir()]):
        missing.mkdir(mode=_DIRECTORY, exist_ok=True)
        sync_directory(missing.parent)


def write_private(path: Path, data: bytes) -> None:
    """Replace a file (0600) as one step: whatever happens, it is the old one or the new one.

    Raises:
        OSError: it cannot be written; the old one is still there.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make what was created or renamed in a directory durable, where its file system can."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)  # refused on Windows
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def tighten(path: Path) -> None:
    """Take a file or directory of ours away from the other users of the machine.

    Raises:
        OSError: it belongs to somebody else.
    """
    mode = path.stat().st_mode
    if _POSIX and mode & _OTHERS:
        logger.warning("%s was open to other users of this machine: made private", path)
        path.chmod(mode & ~_OTHERS)
