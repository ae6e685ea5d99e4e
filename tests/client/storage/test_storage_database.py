"""The one writer: group commit, order, and what happens when a unit or the disk fails."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.client.exceptions import StorageError
from chatbot.client.storage.database import Database

REPOSITORY = Path(__file__).parents[3]
POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="Windows has no modes and limits")

SCHEMA = ["CREATE TABLE numbers (position INTEGER PRIMARY KEY, n INTEGER UNIQUE, data BLOB)"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "messages.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    async with await Database.open(path) as opened:
        await opened.migrate("test", SCHEMA)
        yield opened


def insert(n: int, connection: sqlite3.Connection) -> int:
    connection.execute("INSERT INTO numbers (n, data) VALUES (?, ?)", (n, bytes(300)))
    return n


def raising(n: int, connection: sqlite3.Connection) -> int:
    insert(n, connection)
    raise KeyError(n)


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [n for (n,) in connection.execute("SELECT n FROM numbers ORDER BY position")]


def pragma(name: str, connection: sqlite3.Connection) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


class Gate:
    """A unit that keeps the writer's thread busy until it is opened."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._open = threading.Event()

    def __call__(self, _: sqlite3.Connection) -> None:
        self._entered.set()
        assert self._open.wait(10)

    async def entered(self) -> None:
        assert await asyncio.to_thread(self._entered.wait, 10)

    def open(self) -> None:
        self._open.set()


def commit_sizes(database: Database) -> list[int]:
    sizes: list[int] = []
    database.on_commit.append(lambda size, _seconds: sizes.append(size))
    return sizes


async def outcomes(futures: list[asyncio.Future[int]]) -> list[int | BaseException]:
    return await asyncio.gather(*futures, return_exceptions=True)


class TestGroupCommit:
    async def test_concurrent_units_share_few_commits(self, database: Database) -> None:
        sizes = commit_sizes(database)
        results = await asyncio.gather(*(database.submit(partial(insert, n)) for n in range(1000)))
        assert results == list(range(1000))
        assert sum(sizes) == 1000
        assert len(sizes) <= 5

    async def test_what_comes_while_a_batch_is_written_is_the_next_batch(
        self, database: Database
    ) -> None:
        sizes, gate = commit_sizes(database), Gate()
        first = database.submit(gate)
        await gate.entered()
        rest = [database.submit(partial(insert, n)) for n in range(20)]
        assert database.queued == 20
        gate.open()
        await asyncio.gather(first, *rest)
        assert sizes == [1, 20]

    async def test_a_batch_is_bounded(self, path: Path) -> None:
        async with await Database.open(path, batch_limit=8) as database:
            await database.migrate("test", SCHEMA)
            sizes = commit_sizes(database)
            await asyncio.gather(*(database.submit(partial(insert, n)) for n in range(20)))
        assert sizes == [8, 8, 4]

    async def test_commits_in_order_of_submission(self, database: Database) -> None:
        async def writer(first: int) -> None:
            for n in range(first, first + 100, 10):
                await database.write(partial(insert, n))

        futures = [database.submit(partial(insert, n)) for n in range(1000, 1300)]
        await asyncio.gather(*futures, *(writer(first) for first in range(10)))
        stored = await database.read(numbers)
        assert stored[:300] == list(range(1000, 1300))
        for first in range(10):
            assert [n for n in stored[300:] if n % 10 == first] == list(range(first, 100, 10))

    async def test_listener_gets_the_time_of_the_transaction(self, path: Path) -> None:
        ticks = iter(range(100))
        async with await Database.open(path, clock=lambda: float(next(ticks))) as database:
            seconds: list[float] = []
            database.on_commit.append(lambda _size, took: seconds.append(took))
            await database.write(lambda _: None)
        assert seconds == [1.0]

    async def test_a_listener_that_raises_harms_nobody(
        self, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(_size: int, _seconds: float) -> None:
            raise RuntimeError("listener")

        database.on_commit.append(broken)
        sizes = commit_sizes(database)
        assert await database.write(partial(insert, 1)) == 1
        assert sizes == [1]
        assert "a listener of the database failed" in caplog.text

    async def test_cancelling_does_not_take_a_unit_back(self, database: Database) -> None:
        gate = Gate()
        first = database.submit(gate)
        await gate.entered()
        waiting = asyncio.create_task(database.write(partial(insert, 1)))
        await asyncio.sleep(0)
        waiting.cancel()
        gate.open()
        await first
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await database.write(lambda _: None)
        assert await database.read(numbers) == [1]


class TestFaultyUnit:
    async def test_fails_alone(self, database: Database) -> None:
        sizes = commit_sizes(database)
        units = [partial(raising if n == 3 else insert, n) for n in range(6)]
        results = await outcomes([database.submit(unit) for unit in units])
        assert isinstance(results.pop(3), KeyError)
        assert results == [0, 1, 2, 4, 5]
        assert await database.read(numbers) == [0, 1, 2, 4, 5]
        assert sizes == [6]

    async def test_constraint_reaches_its_owner_as_it_is(self, database: Database) -> None:
        await database.write(partial(insert, 1))
        with pytest.raises(sqlite3.IntegrityError):
            await database.write(partial(insert, 1))
        assert await database.write(partial(insert, 2)) == 2

    async def test_storage_error_of_a_unit_is_not_a_disk_error(self, database: Database) -> None:
        failures: list[StorageError] = []
        database.on_failure.append(failures.append)

        def damaged(_: sqlite3.Connection) -> int:
            raise StorageError("a sealed value does not open")

        results = await outcomes([database.submit(damaged), database.submit(partial(insert, 1))])
        assert isinstance(results[0], StorageError)
        assert results[1] == 1
        assert failures == []

    @settings(max_examples=25, deadline=None)
    @given(
        plan=st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=25),
        batch_limit=st.integers(1, 9),
    )
    def test_any_mixture_ends_as_if_run_one_by_one(
        self, plan: list[tuple[int, bool]], batch_limit: int
    ) -> None:
        expected: list[int] = []
        verdicts: list[type | int] = []
        for n, faulty in plan:
            if n in expected:
                verdicts.append(sqlite3.IntegrityError)
            elif faulty:
                verdicts.append(KeyError)
            else:
                expected.append(n)
                verdicts.append(n)

        async def run() -> tuple[list[int | BaseException], list[int]]:
            with tempfile.TemporaryDirectory() as directory:
                file = Path(directory) / "x.db"
                async with await Database.open(file, batch_limit=batch_limit) as database:
                    await database.migrate("test", SCHEMA)
                    units = [partial(raising if faulty else insert, n) for n, faulty in plan]
                    results = await outcomes([database.submit(unit) for unit in units])
                    return results, await database.read(numbers)

        results, stored = asyncio.run(run())
        assert stored == expected
        assert [r if isinstance(r, int) else type(r) for r in results] == verdicts


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


class TestReading:
    async def test_sees_what_was_committed(self, database: Database) -> None:
        await database.write(partial(insert, 1))
        assert await database.read(numbers) == [1]

    async def test_a_query_sees_one_state_while_others_write(self, database: Database) -> None:
        started, go_on = threading.Event(), threading.Event()

        def query(connection: sqlite3.Connection) -> tuple[list[int], list[int]]:
            before = numbers(connection)
            started.set()
            assert go_on.wait(10)
            return before, numbers(connection)

        reading = asyncio.create_task(database.read(query))
        assert await asyncio.to_thread(started.wait, 10)
        await database.write(partial(insert, 1))
        go_on.set()
        assert await reading == ([], [])
        assert await database.read(numbers) == [1]

    async def test_cannot_write(self, database: Database) -> None:
        with pytest.raises(StorageError):
            await database.read(partial(insert, 1))
        assert await database.read(numbers) == []

    async def test_an_error_of_the_query_is_its_own(self, database: Database) -> None:
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await database.read(lambda connection: connection.execute("SELECT 1 FROM nowhere"))
        assert await database.read(numbers) == []


class TestMigrations:
    async def test_run_once_each_and_components_do_not_meet(self, path: Path) -> None:
        first = ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)"]
        for migrations in (first, first, [*first, "INSERT INTO a VALUES (3);"]):
            async with await Database.open(path) as database:
                await database.migrate("one", migrations)
                await database.migrate("two", ["CREATE TABLE b (x)"])
        async with await Database.open(path) as database:
            rows = await database.read(lambda c: c.execute("SELECT x FROM a").fetchall())
        assert rows == [(1,), (2,), (3,)]

    async def test_a_failing_one_leaves_nothing_of_itself(self, path: Path) -> None:
        broken = ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1); INSERT INTO nowhere VALUES (1)"]
        async with await Database.open(path) as database:
            with pytest.raises(sqlite3.OperationalError, match="nowhere"):
                await database.migrate("one", broken)
            assert await database.read(lambda c: c.execute("SELECT x FROM a").fetchall()) == []
            await database.migrate("one", [broken[0], "INSERT INTO a VALUES (2)"])
            rows = await database.read(lambda c: c.execute("SELECT x FROM a").fetchall())
        assert rows == [(2,)]

    async def test_a_newer_schema_is_refused_and_kept(self, path: Path) -> None:
        async with await Database.open(path) as database:
            await database.migrate("one", ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1)"])
        before = digest(path)
        async with await Database.open(path) as database:
            with pytest.raises(StorageError, match=r"messages\.db.*newer.*version 2.*knows 1"):
                await database.migrate("one", ["CREATE TABLE a (x)"])
        assert digest(path) == before

    async def test_scripts_may_hold_triggers_strings_and_comments(self, database: Database) -> None:
        script = """
            -- one; two
            CREATE TABLE log (text TEXT); /* a; b */
            CREATE TRIGGER noted AFTER INSERT ON numbers BEGIN
                INSERT INTO log VALUES ('x;y');
                INSERT INTO log VALUES ('z');
            END;
            INSERT INTO log VALUES (';') -- end; of it
        """
        await database.migrate("scripts", [script])
        await database.write(partial(insert, 1))
        rows = await database.read(lambda c: c.execute("SELECT text FROM log").fetchall())
        assert rows == [(";",), ("x;y",), ("z",)]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def filled(path: Path) -> None:
    async with await Database.open(path) as database:
        await database.migrate("test", SCHEMA)
        await asyncio.gather(*(database.submit(partial(insert, n)) for n in range(200)))


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


class TestClosing:
    async def test_commits_what_is_queued(self, path: Path) -> None:
        database = await Database.open(path)
        await database.migrate("test", SCHEMA)
        futures = [database.submit(partial(insert, n)) for n in range(600)]
        await database.close()
        await database.close()
        assert [future.result() for future in futures] == list(range(600))
        async with await Database.open(path) as opened:
            assert len(await opened.read(numbers)) == 600

    async def test_refuses_everything_afterwards(self, path: Path) -> None:
        database = await Database.open(path)
        await database.close()
        with pytest.raises(StorageError, match="closed"):
            database.submit(partial(insert, 1))
        with pytest.raises(StorageError, match="closed"):
            await database.read(numbers)
        with pytest.raises(StorageError, match="closed"):
            await database.backup_to(path.with_name("copy.db"))
