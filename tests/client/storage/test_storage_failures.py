"""What happens to the one writer and its file when the disk, the process or the file fails."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from doubles.numbers_table import (
    SCHEMA,
    Gate,
    digest,
    filled,
    insert,
    numbers,
    outcomes,
    pragma,
    raising,
)
from doubles.platforms import POSIX_ONLY

from chatbot.client.exceptions import StorageError
from chatbot.client.storage.database import Database

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "messages.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    async with await Database.open(path) as opened:
        await opened.migrate("test", SCHEMA)
        yield opened


class TestDiskFailure:
    async def test_full_disk_fails_all_that_is_queued_and_then_goes_on(
        self, database: Database
    ) -> None:
        order: list[str] = []
        database.on_failure.append(lambda _error: order.append("listener"))
        await database.write(partial(insert, 1))
        pages = await database.write(partial(pragma, "page_count"))
        gate = Gate()
        first = database.submit(gate)
        await gate.entered()
        limit = database.submit(partial(pragma, f"max_page_count = {pages}"))
        big = [database.submit(partial(fill, n)) for n in range(100, 700)]
        last = database.submit(partial(insert, 9))
        last.add_done_callback(lambda _: order.append("owner"))
        gate.open()
        await asyncio.gather(first, return_exceptions=True)

        results = await outcomes([limit, *big, last])  # type: ignore[list-item]
        assert all(isinstance(result, StorageError) for result in results)
        assert "messages.db" in str(results[-1])
        assert "free some disk space" in str(results[-1])
        assert order == ["listener", "owner"]
        assert await database.read(numbers) == [1]

        await database.write(partial(pragma, "max_page_count = 100000"))
        assert await database.write(partial(fill, 5)) == 5
        assert await database.read(numbers) == [1, 5]

    async def test_a_unit_submitted_by_the_failure_listener_is_not_failed(
        self, database: Database
    ) -> None:
        retried: list[asyncio.Future[int]] = []
        database.on_failure.append(lambda _: retried.append(database.submit(partial(insert, 7))))
        with pytest.raises(StorageError):
            await database.write(raise_full)
        assert await retried[0] == 7

    async def test_among_faulty_units_fails_them_all(self, database: Database) -> None:
        units: list[Callable[[sqlite3.Connection], int | None]] = [
            partial(insert, 1),
            partial(raising, 2),
            raise_full,
            partial(insert, 3),
        ]
        futures = [database.submit(unit) for unit in units]
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(result) for result in results] == [StorageError] * 4
        assert await database.read(numbers) == []

    async def test_a_transaction_that_cannot_be_committed_leaves_nobody_waiting(
        self, database: Database
    ) -> None:
        deferred = "CREATE TABLE child (n REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED)"
        await database.migrate("child", [deferred])
        orphan = database.submit(lambda c: c.execute("INSERT INTO child VALUES (5)").rowcount)
        results = await outcomes([orphan, database.submit(partial(insert, 1))])
        assert [type(result) for result in results] == [StorageError] * 2
        assert await database.write(partial(insert, 5)) == 5

    async def test_locked_by_another_program(self, database: Database, path: Path) -> None:
        await database.write(partial(pragma, "busy_timeout = 0"))
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageError, match="close the other program"):
                await database.write(partial(insert, 1))
        finally:
            other.close()
        assert await database.write(partial(insert, 1)) == 1

    @POSIX_ONLY
    def test_file_size_limit_of_the_system(self, tmp_path: Path) -> None:
        result = run_script(FILE_LIMIT_SCRIPT, str(tmp_path / "x.db"))
        assert result.stdout.split() == ["failed", "recovered", "[1,", "2]"], result.stderr


def fill(n: int, connection: sqlite3.Connection) -> int:
    connection.execute("INSERT INTO numbers (n, data) VALUES (?, ?)", (n, bytes(20_000)))
    return n


def raise_full(_: sqlite3.Connection) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=60,
    )


FILE_LIMIT_SCRIPT = """
import asyncio, resource, signal, sys
from pathlib import Path
from chatbot.client.exceptions import StorageError
from chatbot.client.storage.database import Database

def insert(n):
    return lambda connection: connection.execute("INSERT INTO t VALUES (?, ?)", (n, bytes(90_000)))

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    async with await Database.open(Path(sys.argv[1])) as database:
        await database.migrate("t", ["CREATE TABLE t (n INTEGER, data BLOB)"])
        await database.write(insert(1))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, before[1]))
        try:
            await database.write(insert(99))
        except StorageError:
            print("failed")
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await database.write(insert(2))
        print("recovered")
    async with await Database.open(Path(sys.argv[1])) as database:
        print(await database.read(lambda c: [n for n, in c.execute("SELECT n FROM t")]))

asyncio.run(main())
"""

KILLED_SCRIPT = """
import asyncio, sys
from pathlib import Path
from chatbot.client.storage.database import Database

async def main():
    database = await Database.open(Path(sys.argv[1]))
    await database.migrate("t", ["CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)"])

    async def writer(start):
        for n in range(start, 1_000_000, 8):
            row = (n, bytes(300))
            await database.write(lambda c: c.execute("INSERT INTO t VALUES (?, ?)", row))
            print(n, flush=True)

    await asyncio.gather(*(writer(n) for n in range(8)))

asyncio.run(main())
"""


class TestKilled:
    @pytest.mark.parametrize("lines", [1, 50, 700])
    async def test_nothing_acknowledged_is_lost(self, path: Path, lines: int) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", KILLED_SCRIPT, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        ) as process:
            assert process.stdout is not None
            acknowledged = [int(process.stdout.readline()) for _ in range(lines)]
            process.kill()
            rest = process.stdout.read().splitlines(keepends=True)
        acknowledged += [int(line) for line in rest if line.endswith("\n")]

        async with await Database.open(path) as database:
            stored = await database.read(
                lambda connection: {n for (n,) in connection.execute("SELECT n FROM t")}
            )
            assert set(acknowledged) <= stored
            await database.write(lambda c: c.execute("INSERT INTO t VALUES (-1, NULL)"))


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def spoil_pages(path: Path) -> None:
    for offset in range(5 * 4096, path.stat().st_size, 4096):
        overwrite(path, offset, b"\xff" * 100)


class TestDamage:
    @pytest.mark.parametrize(
        "damage",
        [
            lambda path: path.write_bytes(b"this is no database" * 1000),
            lambda path: overwrite(path, 0, bytes(100)),
            lambda path: os.truncate(path, path.stat().st_size // 2),
        ],
        ids=["other-file", "header", "truncated"],
    )
    async def test_is_refused_at_open_and_nothing_overwritten(
        self, path: Path, damage: Callable[[Path], None]
    ) -> None:
        await filled(path)
        damage(path)
        before = digest(path)
        with pytest.raises(StorageError, match=r"messages\.db.*damaged.*restore a backup"):
            await Database.open(path)
        assert digest(path) == before

    async def test_in_a_page_is_noticed_when_it_is_read(self, path: Path) -> None:
        await filled(path)
        spoil_pages(path)
        async with await Database.open(path) as database:
            with pytest.raises(StorageError, match=r"messages\.db.*damaged"):
                await database.read(lambda c: c.execute("SELECT * FROM numbers").fetchall())

    async def test_in_a_page_is_noticed_at_open_after_a_crash(self, path: Path) -> None:
        await filled(path)
        database = await Database.open(path)
        await database.write(partial(insert, 1000))
        crashed = path.with_name("crashed.db")
        crashed.write_bytes(path.read_bytes())
        wal = path.with_name(path.name + "-wal")
        crashed.with_name("crashed.db-wal").write_bytes(wal.read_bytes())
        await database.close()
        spoil_pages(crashed)
        with pytest.raises(StorageError, match=r"crashed\.db.*damaged"):
            await Database.open(crashed)

    async def test_that_only_the_reader_meets(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("chatbot.client.storage.database.connect_reader", raise_full)
        with pytest.raises(StorageError, match=r"messages\.db"):
            await Database.open(path)
        monkeypatch.undo()
        async with await Database.open(path) as database:
            await database.migrate("test", SCHEMA)

    async def test_a_missing_directory(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="nowhere"):
            await Database.open(tmp_path / "nowhere" / "x.db")

    async def test_a_directory_in_its_place(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=tmp_path.name):
            await Database.open(tmp_path)
