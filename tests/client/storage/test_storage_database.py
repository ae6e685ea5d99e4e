"""The one writer: group commit, order, failing units, reading, the schema's versions, closing."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from doubles.numbers_table import SCHEMA, Gate, digest, insert, numbers, outcomes, raising
from hypothesis import given, settings
from hypothesis import strategies as st

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


def commit_sizes(database: Database) -> list[int]:
    sizes: list[int] = []
    database.on_commit.append(lambda size, _seconds: sizes.append(size))
    return sizes


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
