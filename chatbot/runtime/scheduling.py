"""Jobs that handlers schedule at run time (`Scheduler`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from chatbot.plugins.durations import milliseconds
from chatbot.plugins.endpoints import JobEndpoint, Schedule
from chatbot.plugins.errors import DeclarationError
from chatbot.plugins.services import ScheduledJob
from chatbot.runtime.job_storage import JobRow
from chatbot.runtime.jobs import Jobs
from chatbot.runtime.journal import Work
from chatbot.runtime.world import World

_STEP: Final = "schedule"


class PluginScheduler:
    """One plugin's scheduler; what it schedules commits with the handler's end."""

    __slots__ = ("_jobs", "_plugin", "_work", "_world")

    def __init__(self, world: World, jobs: Jobs, work: Work, plugin: str) -> None:
        self._world = world
        self._jobs = jobs
        self._work = work
        self._plugin = plugin

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
        """Schedule one of this plugin's jobs; exactly one of the times says when.

        What was scheduled under the same key gives way.

        Raises:
            ValueError: no such job, no or several times, or one that never comes.
            TypeError: the arguments do not fit the job's parameters.
        """
        endpoint = self._endpoint(job)
        data = _as_json(arguments or {})
        endpoint.read(data)
        now = self._world.clock.now()
        schedule = self._when(at, after, every, cron)
        row = self._row(self._id(key), endpoint, schedule, data, now)
        await self._work.later((), self._jobs.storage.put(row), self._jobs.changed)
        return self._shown(row, endpoint.name)

    async def cancel(self, job_id: str) -> bool:
        """Drop one; whether it was still there."""
        scheduled = await self._jobs.storage.scheduled(self._plugin)
        if all(row.id != job_id for row in scheduled):
            return False
        await self._work.later((), self._jobs.storage.delete(job_id), self._jobs.changed)
        return True

    async def jobs(self) -> Sequence[ScheduledJob]:
        """What this plugin has scheduled, soonest first."""
        scheduled = await self._jobs.storage.scheduled(self._plugin)
        return [self._shown(row, row.endpoint.rpartition(":")[2]) for row in scheduled]

    def _endpoint(self, job: str) -> JobEndpoint:
        endpoint = self._world.table.jobs.get(f"{self._plugin}:job:{job}")
        if endpoint is None:
            raise ValueError(f"plugin {self._plugin!r} declares no job {job!r}")
        return endpoint

    def _when(
        self,
        at: datetime | None,
        after: str | timedelta | None,
        every: str | timedelta | None,
        cron: str | None,
    ) -> Schedule:
        if [at, after, every, cron].count(None) != 3:  # noqa: PLR2004 - all but one
            raise ValueError("exactly one of at, after, every and cron says when")
        if after is not None:
            at = self._world.now() + timedelta(milliseconds=milliseconds(after))
        if at is not None:
            zoned = at if at.tzinfo is not None else at.replace(tzinfo=self._world.timezone)
            return Schedule(at=zoned.isoformat())
        return Schedule(cron=cron, every=None if every is None else milliseconds(every))

    def _id(self, key: str | None) -> str:
        n = self._work.claim(_STEP)
        return self._work.message_id(_STEP, n) if key is None else f"{self._plugin}:key:{key}"

    def _row(
        self,
        job_id: str,
        endpoint: JobEndpoint,
        schedule: Schedule,
        arguments: Mapping[str, object],
        now: int,
    ) -> JobRow:
        row = JobRow(
            id=job_id,
            endpoint=endpoint.key,
            plugin=self._plugin,
            declared=False,
            schedule=schedule,
            arguments=arguments,
            created_at=now,
            next_run=None,
        )
        try:
            planned = self._jobs.with_next_run(row, now)
        except DeclarationError as error:
            raise ValueError(str(error)) from None
        if planned.next_run is None:
            raise ValueError("this time never comes, or has passed")
        return planned

    def _shown(self, row: JobRow, job: str) -> ScheduledJob:
        at = row.next_run
        zone = self._world.timezone
        return ScheduledJob(
            id=row.id,
            job=job,
            next_run=None if at is None else datetime.fromtimestamp(at / 1000, zone),
            arguments=row.arguments,
        )


def _as_json(arguments: Mapping[str, object]) -> dict[str, object]:
    """What the arguments are once they have been stored; TypeError where they cannot be."""
    stored: dict[str, object] = msgspec.json.decode(msgspec.json.encode(dict(arguments)))
    return stored
