"""One sqlite3 connection on aiosqlite's own thread: how it is opened, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import aiosqlite

from chatbot.client.exceptions import StorageError

T = TypeVar("T")

_QUICK_CHECK_LIMIT: Final = 256 * 1024 * 1024
"""The largest file, in bytes, that is read through after an unclean shutdown (about a second)."""

_COMMON: Final = (
    "PRAGMA temp_store = MEMORY",  # nothing of ours in temporary files
    "PRAGMA mmap_size = 0",  # an I/O error is an error code then, not a SIGBUS
    "PRAGMA cell_size_check = ON",  # damage is noticed on reading a page, not after following it
    "PRAGMA trusted_schema = OFF",
)
_READER: Final = (*_COMMON, "PRAGMA cache_size = -1024")
_WRITER: Final = (
    *_COMMON,
    "PRAGMA cache_size = -2048",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",  # macOS: fsync alone stops at the drive's cache
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA wal_autocheckpoint = 1000",
    "PRAGMA journal_size_limit = 16777216",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # a used key is zeroed in its page, not just unlinked
)


class SqliteThread:
    """A sqlite3 connection and the thread that alone touches it."""

    __slots__ = ("_proxy", "_raw")

    def __init__(self, proxy: aiosqlite.Connection, raw: sqlite3.Connection) -> None:
        self._proxy = proxy
        self._raw = raw

    @classmethod
    async def start(cls, connect: Callable[[], sqlite3.Connection]) -> SqliteThread:
        """Start a thread whose first work is to open the connection.

        Raises:
            sqlite3.Error: whatever `connect` raises.
        """
        opened: list[sqlite3.Connection] = []
        failed: list[sqlite3.Error] = []

        def connector() -> sqlite3.Connection:
            try:
                opened.append(connect())
            except sqlite3.Error as error:
                # Were it raised here, aiosqlite would leave its thread without waiting for its end.
                failed.append(error)
                return sqlite3.connect(":memory:")
            return opened[0]

        proxy = await aiosqlite.Connection(connector, iter_chunk_size=64)
        if failed:
            await proxy.close()
            raise failed[0]
        return cls(proxy, opened[0])

    async def run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Run one call on the thread, after whatever it was given before."""
        # aiosqlite's public methods take a thread hop for every statement, and a hop costs as much
        # as the statement. `_execute` is what all of them are made of. It is private, so it is
        # used here and nowhere else. aiosqlite logs the call's repr: it must hold no values.
        result: T = await self._proxy._execute(call, self._raw)  # type: ignore[no-untyped-call]  # noqa: SLF001
        return result

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await self._proxy.close()


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open the file for writing. It must exist.

    After a clean shutdown SQLite leaves no `-wal` behind; where one is found the process died, and
    the file is read through once. Neither kill nor power loss damages it by SQLite's design, so
    this is for what happens along with them, and large files are spared it: damage in any page is
    an error at the moment when that page is read.

    Raises:
        sqlite3.Error: it cannot be opened, is damaged, or is not ours to write.
    """
    unclean = _size(path.with_name(path.name + "-wal")) > 0
    connection = _connect(path, "rw", _WRITER)
    with _closing_on_error(connection):
        if unclean and _size(path) <= _QUICK_CHECK_LIMIT:
            _quick_check(connection)
        connection.execute("BEGIN IMMEDIATE")  # a read-only file is opened without complaint
        connection.execute("ROLLBACK")
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open the file for reading only.

    Raises:
        sqlite3.Error: it cannot be opened or is damaged.
    """
    return _connect(path, "ro", _READER)


def _connect(path: Path, mode: str, pragmas: tuple[str, ...]) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        cached_statements=512,
    )
    with _closing_on_error(connection):
        for pragma in pragmas:
            connection.execute(pragma)
    return connection


@contextmanager
def _closing_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _quick_check(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        error = sqlite3.DatabaseError(" ".join(verdict.split()))
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def is_disk_error(error: BaseException) -> bool:
    """Whether the cause is the file or the disk under it, and not the statement."""
    return _advice(error) is not None


def storage_error(subject: Path | str, error: BaseException) -> StorageError:
    """Say what is wrong with a file, or with what was done to it, and what to do about it."""
    advice = _advice(error) or "close other programs that use it, and look at its permissions"
    result = StorageError(f"{subject}: {error}. What to do: {advice}.")
    result.__cause__ = error
    return result


def _advice(error: BaseException) -> str | None:
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return "free some disk space; what was confirmed before is safe"
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_NOMEM:
            return "check the disk, its free space and its cabling; what was confirmed is safe"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
            return "make the file and its folder writable for this user"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return "the file is damaged and was left as it is: restore a backup, or move it away"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return "close the other program that has it open"
        case _:
            return None
