"""The rows of jobs and of their runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from chatbot.client.crypto.vault import Vault
from chatbot.client.storage.batch import Unit
from chatbot.client.storage.database import Database
from chatbot.plugins.endpoints import Schedule
from chatbot.runtime.retries import LONGEST_DELAY

_COLUMNS: Final = (
    "jobs.id, jobs.endpoint, jobs.plugin, jobs.declared, jobs.schedule, jobs.arguments,"
    " jobs.created_at, jobs.next_run"
)
MOST_PARKED: Final = 20
"""Runs of one job that are kept when they were given up."""

_IDLE: Final = (
    "NOT EXISTS (SELECT 1 FROM job_runs WHERE job_runs.job_id = jobs.id AND state = 'ready')"
)
_FIRST_OF_ITS_JOB: Final = (
    "state = 'ready' AND seq IN"
    " (SELECT min(seq) FROM job_runs WHERE state = 'ready' GROUP BY job_id)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job as it is stored.

    Attributes:
        endpoint: the key of what it runs.
        declared: its times stand in the plugin; otherwise it was scheduled at run time.
        created_at: ms; what `every` counts from.
        next_run: ms.
    """

    id: str
    endpoint: str
    plugin: str
    declared: bool
    schedule: Schedule
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    created_at: int
    next_run: int | None


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run of a job that has not ended.

    Attributes:
        fire_time: ms; when it was meant to run.
        attempts: how many tries have failed.
    """

    seq: int
    fire_time: int
    attempts: int
    job: JobRow


class JobStorage:
    """Reads and writes `jobs` and `job_runs`."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    # ------------------------------------------------------------ reading

    async def declared(self, plugins: Collection[str]) -> dict[str, JobRow]:
        """The stored rows of what these plugins declare, by id."""
        return {row.id: row for row in await self._of(plugins) if row.declared}

    async def scheduled(self, plugin: str) -> list[JobRow]:
        """What a plugin has scheduled at run time, soonest first."""
        rows = [row for row in await self._of([plugin]) if not row.declared]
        return sorted(rows, key=lambda row: (row.next_run is None, row.next_run))

    async def _of(self, plugins: Collection[str]) -> list[JobRow]:
        return await self._jobs(f"WHERE plugin IN ({_marks(plugins)})", tuple(plugins))

    async def due(self, plugins: Collection[str], now: int, limit: int) -> list[JobRow]:
        """Jobs of these plugins that are to fire by now, and have no run that has not ended."""
        return await self._jobs(
            f"WHERE plugin IN ({_marks(plugins)}) AND next_run <= ? AND {_IDLE}"
            " ORDER BY next_run LIMIT ?",
            (*plugins, now, limit),
        )

    async def planned(self, plugins: Collection[str], now: int) -> list[JobRow]:
        """Jobs of these plugins that are to fire later."""
        return await self._jobs(
            f"WHERE plugin IN ({_marks(plugins)}) AND next_run > ?", (*plugins, now)
        )

    async def ready(
        self, plugins: Collection[str], now: int, running: Collection[int]
    ) -> list[RunRow]:
        """The next run of each job of these plugins that may be tried now and does not run.

        One that was put off for longer than any is was put off by a clock that was ahead.
        """

        def query(connection: sqlite3.Connection) -> list[RunRow]:
            rows = connection.execute(
                f"SELECT job_runs.seq, fire_time, attempts, {_COLUMNS}"  # noqa: S608 - no values
                " FROM job_runs JOIN jobs ON jobs.id = job_runs.job_id"
                f" WHERE plugin IN ({_marks(plugins)}) AND {_FIRST_OF_ITS_JOB}"
                f" AND seq NOT IN ({_marks(running)})"
                " AND not_before NOT BETWEEN ? AND ? ORDER BY seq",
                (*plugins, *running, now + 1, now + LONGEST_DELAY),
            )
            return [RunRow(seq, at, tries, self._job(rest)) for seq, at, tries, *rest in rows]

        return await self._database.read(query)

    async def parked(self, seq: int | None = None) -> list[tuple[RunRow, str]]:
        """The runs that were given up, or one of them, with what went wrong last."""

        def query(connection: sqlite3.Connection) -> list[tuple[RunRow, str]]:
            rows = connection.execute(
                f"SELECT seq, fire_time, attempts, ifnull(error, ''), {_COLUMNS}"  # noqa: S608
                " FROM job_runs JOIN jobs ON jobs.id = job_runs.job_id"
                " WHERE state = 'parked' AND seq = ifnull(?, seq) ORDER BY seq",
                (seq,),
            )
            return [
                (RunRow(seq, at, tries, self._job(rest)), error)
                for seq, at, tries, error, *rest in rows
            ]

        return await self._database.read(query)

    async def wake_at(self, plugins: Collection[str], running: Collection[int]) -> int | None:
        """When (ms) there is something to do next for these plugins."""

        def query(connection: sqlite3.Connection) -> int | None:
            fires = connection.execute(
                f"SELECT min(next_run) FROM jobs WHERE plugin IN ({_marks(plugins)}) AND {_IDLE}",  # noqa: S608
                tuple(plugins),
            ).fetchone()[0]
            runs = connection.execute(
                "SELECT min(not_before) FROM job_runs JOIN jobs ON jobs.id = job_id"  # noqa: S608
                f" WHERE plugin IN ({_marks(plugins)}) AND {_FIRST_OF_ITS_JOB}"
                f" AND seq NOT IN ({_marks(running)})",
                (*plugins, *running),
            ).fetchone()[0]
            return min((at for at in (fires, runs) if at is not None), default=None)

        return await self._database.read(query)

    async def _jobs(self, where: str, values: tuple[Any, ...]) -> list[JobRow]:
        def query(connection: sqlite3.Connection) -> list[JobRow]:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM jobs {where}", values)  # noqa: S608
            return [self._job(row) for row in rows]

        return await self._database.read(query)

    def _job(self, row: Sequence[Any]) -> JobRow:
        job_id, endpoint, plugin, declared, schedule, arguments, created_at, next_run = row
        return JobRow(
            id=job_id,
            endpoint=endpoint,
            plugin=plugin,
            declared=bool(declared),
            schedule=Schedule(**msgspec.json.decode(schedule)),
            arguments=msgspec.json.decode(
                self._vault.open("jobs", job_id, "arguments", arguments), type=dict[str, Any]
            ),
            created_at=created_at,
            next_run=next_run,
        )

    # ------------------------------------------------------------ writing

    def put(self, row: JobRow) -> Unit[None]:
        """Store a job, in place of one with its id.

        Raises:
            TypeError: its arguments are not what JSON can hold.
        """
        arguments = msgspec.json.encode(dict(row.arguments))
        values = (
            row.id,
            row.endpoint,
            row.plugin,
            row.declared,
            encode_schedule(row.schedule),
            self._vault.seal("jobs", row.id, "arguments", arguments),
            row.created_at,
            row.next_run,
        )
        return _writing("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    @staticmethod
    def delete(job_id: str) -> Unit[None]:
        """Drop a job, with its runs."""

        def unit(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM job_runs WHERE job_id = ?", (job_id,))
            connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

        return unit

    @staticmethod
    def fire(job_id: str, fire_times: Sequence[int], next_run: int | None) -> Unit[None]:
        """Note runs to be made, and when the job fires next."""

        def unit(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT OR IGNORE INTO job_runs (job_id, fire_time) VALUES (?, ?)",
                [(job_id, fire_time) for fire_time in fire_times],
            )
            connection.execute("UPDATE jobs SET next_run = ? WHERE id = ?", (next_run, job_id))
            _drop_spent(connection, job_id)

        return unit

    @staticmethod
    def ended(run: RunRow) -> Unit[None]:
        """A run has ended; a job that was scheduled for once is done with."""

        def unit(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM job_runs WHERE seq = ?", (run.seq,))
            _drop_spent(connection, run.job.id)

        return unit

    @staticmethod
    def put_off(run: RunRow, not_before: int, error: str) -> Unit[None]:
        """A try has failed; the next one comes not before that time (ms)."""
        return _writing(
            "UPDATE job_runs SET attempts = attempts + 1, not_before = ?, error = ? WHERE seq = ?",
            (not_before, error, run.seq),
        )

    @staticmethod
    def park(run: RunRow, error: str) -> Unit[None]:
        """A run is given up; the latest of each job are kept for a person to look at."""

        def unit(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE job_runs SET attempts = attempts + 1, state = 'parked', error = ?"
                " WHERE seq = ?",
                (error, run.seq),
            )
            connection.execute(
                "DELETE FROM job_runs WHERE job_id = ?1 AND state = 'parked' AND seq NOT IN"
                " (SELECT seq FROM job_runs WHERE job_id = ?1 AND state = 'parked'"
                " ORDER BY seq DESC LIMIT ?2)",
                (run.job.id, MOST_PARKED),
            )

        return unit

    @staticmethod
    def unpark(seq: int) -> Unit[bool]:
        """Try a run once more that was given up; the unit says whether there is one."""
        statement = (
            "UPDATE job_runs SET state = 'ready', not_before = 0 WHERE seq = ? AND state = 'parked'"
        )
        return lambda connection: connection.execute(statement, (seq,)).rowcount > 0

    @staticmethod
    def drop(seq: int) -> Unit[bool]:
        """Forget a run that was given up; the unit says whether there was one."""

        def unit(connection: sqlite3.Connection) -> bool:
            found = connection.execute(
                "DELETE FROM job_runs WHERE seq = ? AND state = 'parked' RETURNING job_id", (seq,)
            ).fetchone()
            if found is not None:
                _drop_spent(connection, found[0])
            return found is not None

        return unit


def encode_schedule(schedule: Schedule) -> str:
    """A schedule as it is stored: equal ones are equal."""
    at = schedule.at.isoformat() if isinstance(schedule.at, datetime) else schedule.at
    values = {
        "cron": schedule.cron,
        "every": schedule.every,
        "at": at,
        "jitter": schedule.jitter,
        "timezone": schedule.timezone,
    }
    return msgspec.json.encode(values).decode()


def _drop_spent(connection: sqlite3.Connection, job_id: str) -> None:
    connection.execute(
        "DELETE FROM jobs WHERE id = ?1 AND NOT declared AND next_run IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM job_runs WHERE job_id = ?1)",
        (job_id,),
    )


def _writing(statement: str, values: Sequence[Any]) -> Unit[None]:
    def unit(connection: sqlite3.Connection) -> None:
        connection.execute(statement, values)

    return unit


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
