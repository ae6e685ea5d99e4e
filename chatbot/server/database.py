"""The backend's one SQLite file: a writer that commits in groups, and a reader beside it.

Whatever is waiting when the writer becomes free goes into one transaction and one thread hop, so a
burst costs one `fsync` and not one for each message. An answer is given after the commit only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast

import aiosqlite

from chatbot.process_lock import LockHeldError, ProcessLock
from chatbot.server.errors import DatabaseError, Refused
from chatbot.server.schema import MIGRATIONS

T = TypeVar("T")
Unit: TypeAlias = Callable[[sqlite3.Connection], T]
"""Work on the database. It may be refused (it then leaves nothing) and must not touch the rest."""

_BUSY_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class _Thread(aiosqlite.Connection):
    """An aiosqlite connection whose own thread also takes whole functions."""

    async def run(self, work: Unit[T]) -> T:
        """Run `work` on the connection's thread: one hop, however many statements it holds."""
        outcome = await self._execute(work, self._conn)  # type: ignore[no-untyped-call] # aiosqlite
        return cast("T", outcome)


@dataclass(slots=True)
class _Waiting:
    """A unit in the queue; after it ran, `settle` tells the one who waits."""

    unit: Unit[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = field(default=None, repr=False)

    def run(self, connection: sqlite3.Connection) -> None:
        """Run the unit so that a refusal undoes it alone; an error of the disk is raised."""
        connection.execute("SAVEPOINT unit")
        try:
            self.result = self.unit(connection)
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 - it is handed to the one who waits
            self._undo(connection, error)
        else:
            connection.execute("RELEASE unit")

    def _undo(self, connection: sqlite3.Connection, error: Exception) -> None:
        connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")
        self.error = error

    def settle(self, batch_error: Exception | None) -> None:
        if self.future.done():
            return
        error = batch_error or self.error
        if error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(error)


class Database:
    """The open file; made by `open`."""

    def __init__(self, writer: _Thread, reader: _Thread, lock: ProcessLock) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._queue: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._commit_batches(), name="backend-writer")

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Open or make the file (0600, in a folder that is made 0700) and bring it up to date.

        Raises:
            DatabaseError: it cannot be written, is no database, comes from a newer version, or is
                used by another process.
        """
        async with AsyncExitStack() as stack:
            uri, lock = _take(path)
            stack.callback(lock.release)
            try:
                writer = await _connect(uri, "rw")
                stack.push_async_callback(writer.close)
                await writer.run(partial(_prepare, path=path))
                reader = await _connect(uri, "ro")
            except sqlite3.Error as error:
                raise DatabaseError(
                    f"The backend's database {path} cannot be used: {error}. What to do: make room "
                    "if the disk is full; else restore a backup, or move it away to begin anew"
                ) from error
            stack.pop_all()
        return cls(writer, reader, lock)

    def submit(self, unit: Unit[T]) -> asyncio.Future[T]:
        """Queue `unit`; the future is done once its effects are on the disk.

        Units run and their futures are done in the order of submission.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._closing:
            future.set_exception(Refused(503, "The server is shutting down"))
            return future
        self._queue.append(_Waiting(unit, future))
        self._wake.set()
        return future

    def note(self, unit: Unit[object]) -> None:
        """Queue a `unit` that nobody waits for; should it fail, the log says so."""
        self.submit(unit).add_done_callback(_log_failure)

    async def write(self, unit: Unit[T]) -> T:
        """Run `unit` and return its result once it is on the disk."""
        return await self.submit(unit)

    async def read(self, query: Unit[T]) -> T:
        """Run `query` beside the writer; it sees what is committed and can change nothing."""
        return await self._reader.run(query)

    async def close(self) -> None:
        """Commit what is queued, then close the file."""
        self._closing = True
        self._wake.set()
        await self._task
        await self._reader.close()
        await self._writer.close()
        self._lock.release()

    async def _commit_batches(self) -> None:
        while self._queue or not self._closing:
            await self._wake.wait()
            self._wake.clear()
            batch, self._queue = self._queue, []
            await self._commit(batch)

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        error: Exception | None = None
        try:
            await self._writer.run(partial(_run_batch, batch))
        except Exception as problem:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            _log.error("The database refused %d changes: %s", len(batch), problem)
            error = problem
        for waiting in batch:
            waiting.settle(error)


def _run_batch(batch: Sequence[_Waiting], connection: sqlite3.Connection) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for waiting in batch:
            waiting.run(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _log_failure(future: asyncio.Future[Any]) -> None:
    if error := future.exception():
        _log.warning("A change was not made: %s", error)


def _take(path: Path) -> tuple[str, ProcessLock]:
    """Make the file, and keep other processes out: two backends would not hear of each other.

    Returns:
        its URI and the lock, which is held.
    """
    lock = ProcessLock(path.with_name(f"{path.name}.lock"))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire()
        _create_private(path)
    except LockHeldError as error:
        raise DatabaseError(
            f"The backend's database {path} is in use by {error}. What to do: stop it first, or"
            " give this backend a database of its own"
        ) from None
    except OSError as error:
        lock.release()
        raise DatabaseError(
            f"The backend's database {path} cannot be opened: {error.filename}: {error.strerror}."
            " What to do: choose a file in a folder that is yours to write"
        ) from error
    return path.resolve().as_uri(), lock


def _create_private(path: Path) -> None:
    """Make the file before SQLite does, whose journals then get the same permissions."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)


async def _connect(uri: str, mode: str) -> _Thread:
    def connector() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{uri}?mode={mode}", uri=True, isolation_level=None, timeout=_BUSY_SECONDS
        )
        connection.row_factory = sqlite3.Row
        return connection

    return cast("_Thread", await _Thread(connector, iter_chunk_size=64))


def _prepare(connection: sqlite3.Connection, *, path: Path) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise DatabaseError(
            f"The backend's database {path} was written by a newer version (schema {version}, this"
            f" one knows {len(MIGRATIONS)}). What to do: install the newer program"
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
