"""The database's files: private, wiped, and copied while in use."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from doubles.numbers_table import SCHEMA, filled, insert, numbers, pragma
from doubles.platforms import POSIX_ONLY

from chatbot.client.exceptions import StorageError
from chatbot.client.storage.database import Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "messages.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    async with await Database.open(path) as opened:
        await opened.migrate("test", SCHEMA)
        yield opened


class TestFiles:
    @POSIX_ONLY
    async def test_are_private_from_the_start(self, path: Path) -> None:
        before = os.umask(0)
        try:
            async with await Database.open(path) as database:
                await database.migrate("test", SCHEMA)
                modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        finally:
            os.umask(before)
        assert modes == dict.fromkeys(["messages.db", "messages.db-wal", "messages.db-shm"], 0o600)

    @POSIX_ONLY
    async def test_an_open_file_is_made_private(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        await filled(path)
        path.chmod(0o644)
        async with await Database.open(path):
            assert path.stat().st_mode & 0o777 == 0o600
        assert "made private" in caplog.text

    async def test_settings_of_the_writer(self, database: Database) -> None:
        expected = {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "secure_delete": 1,
            "temp_store": 2,
            "mmap_size": 0,
        }
        for name, value in expected.items():
            assert await database.write(partial(pragma, name)) == value, name

    async def test_what_was_deleted_is_gone_from_the_file(self, path: Path) -> None:
        secret = os.urandom(32)
        async with await Database.open(path) as database:
            await database.migrate("test", SCHEMA)
            await database.write(
                lambda c: c.execute("INSERT INTO numbers (n, data) VALUES (1, ?)", (secret,))
            )
            await database.write(lambda c: c.execute("DELETE FROM numbers"))
        assert secret not in path.read_bytes()
        assert [file.name for file in path.parent.iterdir()] == ["messages.db"]


class TestBackup:
    async def test_is_a_private_copy_of_one_state(self, database: Database, path: Path) -> None:
        await asyncio.gather(*(database.submit(partial(insert, n)) for n in range(300)))
        copy = path.with_name("copy.db")
        await database.backup_to(copy)
        await database.write(partial(insert, 999))
        if os.name == "posix":
            assert copy.stat().st_mode & 0o777 == 0o600
        async with await Database.open(copy) as opened:
            assert await opened.read(numbers) == list(range(300))

    async def test_never_overwrites(self, database: Database, path: Path) -> None:
        copy = path.with_name("copy.db")
        copy.write_bytes(b"mine")
        with pytest.raises(StorageError, match="exists already"):
            await database.backup_to(copy)
        assert copy.read_bytes() == b"mine"

    async def test_of_a_damaged_file_leaves_no_half_copy(self, path: Path) -> None:
        await filled(path)
        async with await Database.open(path) as database:
            os.truncate(path, 3 * 4096)
            with pytest.raises(
                StorageError, match=r"copying .*messages\.db to .*copy\.db.*damaged"
            ):
                await database.backup_to(path.with_name("copy.db"))
        assert not path.with_name("copy.db").exists()

    async def test_into_a_missing_directory(self, database: Database, path: Path) -> None:
        with pytest.raises(StorageError, match="nowhere"):
            await database.backup_to(path.parent / "nowhere" / "copy.db")
