"""Units of work that are committed together: what runs on the writer's thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from .connection import is_disk_error

T = TypeVar("T")

Unit: TypeAlias = Callable[[sqlite3.Connection], T]


@dataclass(frozen=True, slots=True)
class Failure:
    """What a unit raised."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Job:
    """A unit and the future that its owner waits for."""

    unit: Unit[Any]
    future: asyncio.Future[Any]

    def settle(self, outcome: object) -> None:
        """Hand on what the unit returned, or a `Failure`, unless nobody wants it any more."""
        if self.future.done():
            return
        if isinstance(outcome, Failure):
            self.future.set_exception(outcome.error)
        else:
            self.future.set_result(outcome)


class Batch:
    """Units for one transaction.

    Attributes:
        seconds: how long the transaction took.
    """

    __slots__ = ("_clock", "_units", "seconds")

    def __init__(self, units: Sequence[Unit[Any]], clock: Callable[[], float]) -> None:
        self._units = units
        self._clock = clock
        self.seconds = 0.0

    def run(self, connection: sqlite3.Connection) -> list[object]:
        """Run all units in one transaction and return what each returned, or a `Failure`.

        Raises:
            sqlite3.Error: the disk failed; nothing of the batch was committed.
        """
        started = self._clock()
        try:
            with transaction(connection, "BEGIN IMMEDIATE"):
                outcomes = [unit(connection) for unit in self._units]
        except Exception as error:
            if is_disk_error(error):
                raise
            with transaction(connection, "BEGIN IMMEDIATE"):
                outcomes = [_attempt(connection, unit) for unit in self._units]
        self.seconds = self._clock() - started
        return outcomes


class Snapshot:
    """A query that sees one state of the database, however many statements it has."""

    __slots__ = ("_query",)

    def __init__(self, query: Unit[Any]) -> None:
        self._query = query

    def run(self, connection: sqlite3.Connection) -> Any:
        """Run the query in a transaction of its own."""
        with transaction(connection, "BEGIN"):
            return self._query(connection)


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """Commit what the body does, or nothing of it."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself has rolled back after some errors
            connection.execute("ROLLBACK")
        raise


def _attempt(connection: sqlite3.Connection, unit: Unit[Any]) -> object:
    connection.execute("SAVEPOINT unit")
    outcome: object
    try:
        outcome = unit(connection)
    except Exception as error:
        if is_disk_error(error):
            raise
        connection.execute("ROLLBACK TO unit")
        outcome = Failure(error)
    connection.execute("RELEASE unit")
    return outcome
