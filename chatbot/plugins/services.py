"""What the runtime gives each plugin of its own: a store, an SQL file, a scheduler, a logger."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar, overload

T = TypeVar("T")
D = TypeVar("D")


class Store(Protocol):
    """A durable, sealed key-value store: one for each plugin; `ctx.state` for each dialog.

    Values are what JSON can hold, dataclasses and msgspec structs; they are read back as the type
    that is asked for. `set` and `delete` commit together with the handler's answer and its end, so
    a handler that is run again after a crash finds nothing of its first try. `incr` and
    `compare_and_set` take effect at once, as steps that a second run does not repeat.

    All raise `StorageError` where the disk fails, and `TypeError` for values that cannot be kept
    or are not of the type asked for.
    """

    @overload
    async def get(self, key: str, kind: type[T]) -> T | None: ...
    @overload
    async def get(self, key: str, kind: type[T], default: D) -> T | D: ...
    async def get(self, key: str, kind: type[T], default: object = None) -> object:
        """The value as a `kind`, or `default` where there is none."""

    async def set(self, key: str, value: object) -> None:
        """Keep `value`; what this handler has set it also reads."""

    async def delete(self, key: str) -> None:
        """Forget it, if it is there."""

    def range(
        self, prefix: str, kind: type[T], *, after: str = "", limit: int | None = None
    ) -> AsyncIterator[tuple[str, T]]:
        """Keys that start with `prefix` and come behind `after`, in order, with their values."""

    async def incr(self, key: str, by: int = 1) -> int:
        """Add to a number (0 where there is none) and return the sum."""

    async def compare_and_set(self, key: str, expected: object, value: object) -> bool:
        """Set only where the value is `expected` (None: where there is none); whether it was."""


class Sql(Protocol):
    """A plugin's own SQLite file. **It is not sealed**: whoever reads the disk reads it.

    Made from the plugin's `migrations` before its start. Its writes commit on their own, not with
    the handler's end.
    """

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query on a read-only connection, off the event loop."""

    async def write(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        """Run a unit of work as one transaction, off the event loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledJob:
    """A run to come.

    Attributes:
        id: what `cancel` takes.
        job: the declared job's name.
        next_run: aware, in the bot's time zone; None where it will not run again.
    """

    id: str
    job: str
    next_run: datetime | None
    arguments: Mapping[str, object] = field(default_factory=dict, repr=False)


class Scheduler(Protocol):
    """Runs the plugin's declared jobs at times that are only known now; survives restarts."""

    async def schedule(
        self,
        job: str,
        *,
        at: datetime | None = None,
        after: str | timedelta | None = None,
        every: str | timedelta | None = None,
        cron: str | None = None,
        arguments: Mapping[str, object] | None = None,
        key: str | None = None,
    ) -> ScheduledJob:
        """Schedule `job`, the name of one of this plugin's jobs.

        Exactly one of `at`, `after`, `every` and `cron` says when. Takes effect with the
        handler's end, as a plain `set` does.

        Args:
            job: as declared; the function's name unless it was given another.
            at: once, at that instant.
            after: once, in so long.
            every: again and again, first in so long.
            cron: five fields, in the bot's time zone.
            arguments: for the job's parameters that are not injected; JSON values.
            key: takes the place of what this plugin has scheduled under that key, which never
                runs beside itself. One that runs now comes to its end first.

        Raises:
            ValueError: no such job, no or several times, or one that never comes.
            TypeError: the arguments do not fit the job's parameters.
        """

    async def cancel(self, job_id: str) -> bool:
        """Drop one; whether it was still there."""

    async def jobs(self) -> Sequence[ScheduledJob]:
        """What this plugin has scheduled, soonest first."""


class Services(Protocol):
    """The services of one plugin, as the runtime hands them to injection."""

    @property
    def store(self) -> Store:
        """Its sealed key-value store."""

    @property
    def sql(self) -> Sql:
        """Its own SQLite file."""

    @property
    def scheduler(self) -> Scheduler:
        """Schedules its jobs."""

    @property
    def logger(self) -> logging.Logger:
        """Named after it."""
