"""The one writer: units of work go in, in order, and come out committed, many to a transaction.

A commit costs an fsync however much is in it. While one batch is on its way to the disk the next
one gathers, so the more there is to write the less a unit costs (group commit).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias, TypeVar

from chatbot.client.exceptions import StorageError

from .batch import Batch, Failure, Job, Snapshot, Unit
from .connection import (
    SqliteThread,
    connect_reader,
    connect_writer,
    is_disk_error,
    storage_error,
)
from .files import create_new_private, create_private, sync_directory
from .migrations import apply_migration, schema_version

T = TypeVar("T")

CommitListener: TypeAlias = Callable[[int, float], None]
FailureListener: TypeAlias = Callable[[StorageError], None]

BATCH_LIMIT: Final = 256
"""Units in one transaction: enough to make an fsync cheap, few enough to end soon."""

logger = logging.getLogger(__name__)


class Database:
    """One SQLite file in WAL mode, with one writer and one reader.

    Nothing else may write to the file while it is open.

    Attributes:
        on_commit: called on the event loop after each transaction with the number of units in it
            and the seconds it took.
        on_failure: called on the event loop when the disk failed, before any of the failed units'
            owners hear of it: what is cached in memory is ahead of the disk then.
    """

    def __init__(
        self,
        path: Path,
        writer: SqliteThread,
        reader: SqliteThread,
        *,
        clock: Callable[[], float] = time.perf_counter,
        batch_limit: int = BATCH_LIMIT,
    ) -> None:
        """Use `open`."""
        self.path: Final = path
        self.on_commit: Final[list[CommitListener]] = []
        self.on_failure: Final[list[FailureListener]] = []
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._batch_limit = batch_limit
        self._queue: deque[Job] = deque()
        self._drainer: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], float] = time.perf_counter,
        batch_limit: int = BATCH_LIMIT,
    ) -> Database:
        """Open the file; create it, readable for its owner only, where there is none.

        Args:
            path: its folder must exist.
            clock: seconds, for `on_commit`.
            batch_limit: how many units go into one transaction at most.

        Raises:
            StorageError: the file cannot be opened or written, or is damaged. It is left as it is.
        """
        try:
            create_private(path)
            writer = await SqliteThread.start(partial(connect_writer, path))
        except (OSError, sqlite3.Error) as error:
            raise storage_error(path, error) from error
        try:
            reader = await SqliteThread.start(partial(connect_reader, path))
        except sqlite3.Error as error:
            await writer.close()
            raise storage_error(path, error) from error
        return cls(path, writer, reader, clock=clock, batch_limit=batch_limit)

    @property
    def queued(self) -> int:
        """Units that wait for the batch that is being written."""
        return len(self._queue)

    def submit(self, unit: Unit[T]) -> asyncio.Future[T]:
        """Queue a unit of work; units are committed in the order of submission.

        The unit runs on another thread, within a transaction that it neither begins nor ends. It
        must have no effect but on the connection it is given, for it may be run twice: when a unit
        of its batch raises, the batch is rolled back and run again with each unit on its own.

        Returns:
            Done once the unit is on the disk, or failed with what the unit raised (others are not
            affected), or with StorageError when the disk failed; then everything queued fails too.
            Cancelling it does not take the unit back: memory and disk would part ways.

        Raises:
            StorageError: the database is closed.
        """
        self._check_open()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append(Job(unit, future))
        if self._drainer is None:
            self._drainer = asyncio.create_task(self._drain(), name=f"writer of {self.path.name}")
        return future

    async def write(self, unit: Unit[T]) -> T:
        """Submit a unit and wait until it is on the disk. See `submit`."""
        return await self.submit(unit)

    async def read(self, query: Unit[T]) -> T:
        """Run a query on the reading connection, against one snapshot of what is committed.

        Args:
            query: must fetch what it wants: its cursors are of no use afterwards.

        Raises:
            StorageError: the file cannot be read or is damaged, or the database is closed.
        """
        self._check_open()
        try:
            return await self._reader.run(Snapshot(query).run)
        except sqlite3.Error as error:
            if is_disk_error(error):
                raise storage_error(self.path, error) from error
            raise

    async def migrate(self, component: str, migrations: Sequence[str]) -> None:
        """Bring a component's tables up to date; each migration is one transaction.

        Args:
            component: whose tables these are; several share a file.
            migrations: SQL scripts, the n-th leading from version n to n + 1. Only ever appended.

        Raises:
            StorageError: a newer version of this program has written the file.
        """
        version = await self.write(partial(schema_version, component))
        if version > len(migrations):
            raise StorageError(
                f"{self.path} was written by a newer version: its {component!r} tables have "
                f"version {version}, this program knows {len(migrations)}. What to do: install "
                f"the newer program, or restore a backup of the older file."
            )
        for number, script in enumerate(migrations[version:], version + 1):
            await self.write(partial(apply_migration, component, number, script))

    async def backup_to(self, target: Path) -> None:
        """Copy a snapshot of the database into a new file (0600) while it stays in use.

        Raises:
            StorageError: the target exists or cannot be written; no half copy is left.
        """
        self._check_open()
        await asyncio.to_thread(_backup, self.path, target)

    async def close(self) -> None:
        """Commit what is queued, then close the file. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._drainer is not None:
            await asyncio.wait({self._drainer})
        await self._reader.close()
        await self._writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError(f"{self.path} is closed")

    async def _drain(self) -> None:
        try:
            while self._queue:
                size = min(len(self._queue), self._batch_limit)
                await self._commit([self._queue.popleft() for _ in range(size)])
        finally:
            self._drainer = None

    async def _commit(self, jobs: list[Job]) -> None:
        batch = Batch([job.unit for job in jobs], self._clock)
        try:
            outcomes = await self._writer.run(batch.run)
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody may wait forever
            self._fail(jobs, error)
        else:
            for job, outcome in zip(jobs, outcomes, strict=True):
                job.settle(outcome)
            for listener in self.on_commit:
                _call(listener, len(jobs), batch.seconds)

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        failed = [*jobs, *self._queue]
        self._queue.clear()
        for job in failed:
            job.settle(Failure(storage_error(self.path, error)))
        for listener in self.on_failure:
            _call(listener, storage_error(self.path, error))


def _call(listener: Callable[..., None], *arguments: object) -> None:
    try:
        listener(*arguments)
    except Exception:
        logger.exception("a listener of the database failed")


def _backup(path: Path, target: Path) -> None:
    try:
        create_new_private(target)
    except FileExistsError:
        raise StorageError(
            f"{target} exists already. What to do: name a file that does not"
        ) from None
    except OSError as error:
        raise storage_error(target, error) from error
    try:
        with (
            closing(connect_reader(path)) as source,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            copy.execute("PRAGMA journal_mode = MEMORY")
            source.backup(copy)
        sync_directory(target.parent)
    except BaseException as error:
        target.unlink()
        if isinstance(error, sqlite3.Error):
            raise storage_error(f"copying {path} to {target}", error) from error
        raise
