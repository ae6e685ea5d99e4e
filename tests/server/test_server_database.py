from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from chatbot.server.database import Database
from chatbot.server.errors import Refused


@pytest.fixture
async def database(database_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(database_path)
    yield opened
    await opened.close()


def put(connection: sqlite3.Connection, name: str) -> int:
    connection.execute("INSERT INTO meta VALUES (?, ?)", (name, b""))
    return int(connection.execute("SELECT count(*) FROM meta").fetchone()[0])


def put_and_refuse(connection: sqlite3.Connection, name: str) -> None:
    put(connection, name)
    raise Refused(400, "changed my mind")


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM meta ORDER BY name")]


def fill_disk(connection: sqlite3.Connection) -> None:
    """Allow not one page more, which is what a full disk looks like to SQLite."""
    connection.execute("PRAGMA max_page_count = 1")


def free_disk(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA max_page_count = 1073741823")


async def test_units_run_in_order_and_share_transactions(database: Database) -> None:
    transactions: set[int] = set()

    def unit(connection: sqlite3.Connection, number: int) -> int:
        transactions.add(connection.total_changes - number)
        return put(connection, f"{number:03}")

    counts = await asyncio.gather(*(database.submit(partial(unit, number=n)) for n in range(100)))

    assert counts == list(range(1, 101))
    assert await database.read(names) == [f"{number:03}" for number in range(100)]


async def test_a_refused_unit_leaves_nothing_and_takes_nobody_with_it(
    database: Database,
) -> None:
    first = database.submit(partial(put, name="a"))
    refused = database.submit(partial(put_and_refuse, name="b"))
    clash = database.submit(partial(put, name="a"))
    last = database.submit(partial(put, name="c"))

    assert await first == 1
    with pytest.raises(Refused, match="changed my mind"):
        await refused
    with pytest.raises(sqlite3.IntegrityError):
        await clash
    assert await last == 2
    assert await database.read(names) == ["a", "c"]


async def test_a_full_disk_fails_the_batch_and_nothing_after_it(database: Database) -> None:
    await database.write(fill_disk)
    large = "x" * 100_000
    lost = [database.submit(partial(put, name=name)) for name in ("small", large, "late")]

    for future in lost:
        with pytest.raises(sqlite3.OperationalError, match="full"):
            await future
    await database.write(free_disk)
    assert await database.read(names) == []
    assert await database.write(partial(put, name=large)) == 1


async def test_readers_change_nothing(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await database.read(partial(put, name="a"))


async def test_closing_commits_what_is_queued(database_path: Path) -> None:
    database = await Database.open(database_path)
    queued = [database.submit(partial(put, name=name)) for name in "abc"]
    await database.close()

    assert [await future for future in queued] == [1, 2, 3]
    with pytest.raises(Refused, match="shutting down"):
        await database.submit(partial(put, name="d"))


async def test_one_who_stops_waiting_disturbs_nobody(database: Database) -> None:
    database.submit(partial(put, name="a")).cancel()

    assert await database.write(partial(put, name="b")) == 2
