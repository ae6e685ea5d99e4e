"""Months of a few messages a day: what is kept, on the disk and in memory, levels off."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from doubles.stage import Stage

DAY = timedelta(days=1)
RETENTION = 60
"""Days after which the last of what has an age is gone (PROTOCOL.md 4.4)."""

EXEMPT = frozenset({"sqlite_sequence", "subkey_salts", "outbox"})
"""Salts are one a start; the outbox is emptied half a minute after a delivery by the machine's
clock, which this test does not wait for."""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage(tmp_path) as stage:
        yield stage


async def test_what_is_kept_levels_off(stage: Stage) -> None:
    await stage.start_bot([], keep=30 * DAY // timedelta(milliseconds=1))
    alice, bob = await stage.person("alice"), await stage.person("bob")
    await bob.says("/ping")

    async def live(days: int) -> dict[str, int]:
        for day in range(days):
            stage.advance(DAY)  # tokens expire every day, prekeys every week
            await stage.bot.client._account.prekeys.check()
            if day % 10 == 0:
                await stage.restart_bot()
            if day % 35 == 34:  # longer than sessions last
                assert await bob.says("/ping") == "pong"
            assert await alice.says("/ping") == "pong"
        return _rows(stage) | _pages(stage) | {"objects": _objects()}

    early, late = await live(RETENTION + 5), await live(RETENTION)
    grown = {
        what: (early[what], late[what]) for what in late if late[what] > 1.05 * early[what] + 4
    }
    assert not grown


def _rows(stage: Stage) -> dict[str, int]:
    """How many rows each table of the bot's databases has."""
    return {
        f"{file.stem}.{table}": _count(file, table)
        for file in sorted((stage.folder / "world" / "bot").rglob("*.db"))
        for table in _tables(file)
        if table not in EXEMPT
    }


def _pages(stage: Stage) -> dict[str, int]:
    """How large each of the bot's databases is."""
    sizes = {}
    for file in sorted((stage.folder / "world" / "bot").rglob("*.db")):
        with closing(sqlite3.connect(file)) as database:
            (sizes[file.name],) = database.execute("PRAGMA page_count").fetchone()
    return sizes


def _objects() -> int:
    gc.collect()
    return len(gc.get_objects())


def _tables(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        query = "SELECT name FROM sqlite_schema WHERE type = 'table'"
        return [name for (name,) in database.execute(query)]


def _count(file: Path, table: str) -> int:
    with closing(sqlite3.connect(file)) as database:
        (count,) = database.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608
        return int(count)
