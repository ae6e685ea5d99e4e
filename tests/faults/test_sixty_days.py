"""Months of a few messages a day: nothing but the messages themselves goes on growing."""

from __future__ import annotations

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

EXEMPT = frozenset({"messages", "seen", "sqlite_sequence", "subkey_salts", "outbox"})
"""Messages and their ids are what grows; salts are one a start; the outbox is emptied half a minute
after a delivery by the machine's clock, which this test does not wait for."""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage(tmp_path) as stage:
        yield stage


async def test_what_is_kept_beside_the_messages_levels_off(stage: Stage) -> None:
    await stage.start_bot([])
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
        return _rows(stage)

    early, late = await live(RETENTION + 5), await live(RETENTION)
    assert not {
        table: (early[table], late[table]) for table in late if late[table] > early[table] + 4
    }


def _rows(stage: Stage) -> dict[str, int]:
    """How many rows each table of the bot's databases has."""
    return {
        f"{file.stem}.{table}": _count(file, table)
        for file in sorted((stage.folder / "world" / "bot").rglob("*.db"))
        for table in _tables(file)
        if table not in EXEMPT
    }


def _tables(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        query = "SELECT name FROM sqlite_schema WHERE type = 'table'"
        return [name for (name,) in database.execute(query)]


def _count(file: Path, table: str) -> int:
    with closing(sqlite3.connect(file)) as database:
        (count,) = database.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608
        return int(count)
