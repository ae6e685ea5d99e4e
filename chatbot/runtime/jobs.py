"""Jobs: when they fire, what becomes of runs that were missed, and one run at a time of each."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, overload

from chatbot.client.exceptions import StorageError
from chatbot.client.storage.batch import Unit
from chatbot.plugins.declarations import Misfire
from chatbot.plugins.endpoints import JobEndpoint, Schedule
from chatbot.runtime.clock import Timer
from chatbot.runtime.job_storage import JobRow, JobStorage, RunRow, encode_schedule
from chatbot.runtime.journal import Steps
from chatbot.runtime.retries import TRIES, delay, reference
from chatbot.runtime.scope import RunScope
from chatbot.runtime.threads import Threads
from chatbot.runtime.triggers import Trigger, build_trigger, next_fire
from chatbot.runtime.world import World

GRACE: Final = 30_000
"""How late (ms) a run may be that is not called missed."""

MOST_MISSED: Final = 100
"""How many runs `run-all` makes up for at most: the latest ones."""

JOB_TIMEOUT: Final = 5 * 60_000
"""How long (ms) a run may take, where its job says nothing of it."""

_MOST_COUNTED: Final = 1000
"""How many missed times are looked at; behind them the next one to come counts."""

_BATCH: Final = 100

logger = logging.getLogger(__name__)


def run_key(seq: int) -> str:
    """The key of a run in the journal."""
    return f"j:{seq}"


def runs_to_make(times: list[int], misfire: Misfire, now: int) -> list[int]:
    """Which of the times (ms) that have come since the last look are run now.

    Args:
        times: in order, at least one, none behind `now`.
    """
    if misfire == "run-all":
        return times[-MOST_MISSED:]
    if misfire == "skip" and now - times[-1] > GRACE:
        return []
    return times[-1:]


class Jobs:
    """Fires and runs the jobs of one bot.

    Args:
        tries: how often a run is tried before it is given up.
    """

    def __init__(
        self, world: World, storage: JobStorage, threads: Threads, *, tries: int = TRIES
    ) -> None:
        self._world = world
        self.storage: Final = storage
        self._threads = threads
        self._tries = tries
        self._timer: Timer | None = None
        self._looking: asyncio.Task[None] | None = None
        self._look_again = False
        self._looked_at: float = math.inf
        self._running: dict[int, tuple[RunRow, asyncio.Task[None]]] = {}
        self._stopped = True

    # ------------------------------------------------------------ what there is

    async def adopt(self) -> None:
        """Take the declared jobs of the present plugins; those that stay keep their next run."""
        endpoints = {key: job for key, job in self._endpoints.items() if job.schedule is not None}
        known = await self.storage.declared(self._plugins)
        units: list[Unit[None]] = [
            self.storage.delete(job_id) for job_id in known.keys() - endpoints.keys()
        ]
        for key, endpoint in endpoints.items():
            before = known.get(key)
            schedule = endpoint.schedule or Schedule()
            if before is None or encode_schedule(before.schedule) != encode_schedule(schedule):
                units.append(self.storage.put(self._declared(endpoint, schedule)))
        for unit in units:
            await self._world.account.database.write(unit)
        self.changed()

    def _declared(self, endpoint: JobEndpoint, schedule: Schedule) -> JobRow:
        now = self._world.clock.now()
        row = JobRow(
            id=endpoint.key,
            endpoint=endpoint.key,
            plugin=endpoint.plugin,
            declared=True,
            schedule=schedule,
            created_at=now,
            next_run=None,
        )
        return self.with_next_run(row, now)

    def with_next_run(self, row: JobRow, now: int) -> JobRow:
        """A new job with the first time it fires at, if there is one to come.

        Raises:
            DeclarationError: its times are none.
        """
        at = _ms(next_fire(self._trigger(row), self._moment(now)))
        # What is meant for a time that has passed is not made up for: it was not there then.
        return replace(row, next_run=at if at is None or at >= now - GRACE else None)

    @property
    def _endpoints(self) -> Mapping[str, JobEndpoint]:
        return self._world.table.jobs

    @property
    def _plugins(self) -> Collection[str]:
        return self._world.table.plugins.keys()

    # ------------------------------------------------------------ time passes

    def start(self) -> None:
        """Begin to fire."""
        self._stopped = False
        self.changed()

    def changed(self) -> None:
        """Look what there is to do: something was added, has ended, or its time has come."""
        if self._stopped:
            return
        self._look_again = True
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="jobs")

    async def _look(self) -> None:
        try:
            while self._look_again:
                self._look_again = False
                await self._straighten()
                await self._fire_due()
                await self._run_ready()
                await self._arm()
        except StorageError as error:
            logger.error("jobs cannot be read: %s", error)  # noqa: TRY400 - no surprise
        finally:
            self._looking = None

    async def _straighten(self) -> None:
        """Plan anew what was planned while the clock was ahead, once that has been set back."""
        now = self._world.clock.now()
        was_set_back, self._looked_at = now < self._looked_at, now
        if not was_set_back:
            return
        for row in await self.storage.planned(self._plugins, now):
            at = _ms(next_fire(self._trigger(row), self._moment(now)))
            if at is not None and (row.next_run or 0) - row.schedule.jitter > at:
                logger.warning("job %s is planned anew: the clock was ahead", row.endpoint)
                await self._world.account.database.write(self.storage.fire(row.id, (), at))

    async def _fire_due(self) -> None:
        now = self._world.clock.now()
        due = await self.storage.due(self._plugins, now, _BATCH)
        for row in due:
            await self._world.account.database.write(self._fire(row, now))
        self._look_again |= len(due) == _BATCH

    def _fire(self, row: JobRow, now: int) -> Unit[None]:
        endpoint = self._endpoints.get(row.endpoint)
        if endpoint is None:
            logger.error("the job %s is not declared any more: %s never runs", row.endpoint, row.id)
            return self.storage.fire(row.id, (), None)
        times, next_run = self._times(row, now)
        runs = runs_to_make(times, endpoint.misfire, now)
        if len(runs) < len(times):
            logger.warning("job %s: %d runs were missed", row.endpoint, len(times) - len(runs))
        return self.storage.fire(row.id, runs, next_run)

    def _times(self, row: JobRow, now: int) -> tuple[list[int], int | None]:
        """Times that have come, in order, and the first that has not."""
        trigger, present = self._trigger(row), self._moment(now)
        times: list[int] = []
        at = row.next_run
        while at is not None and at <= now and len(times) < _MOST_COUNTED:
            times.append(at)
            at = _ms(next_fire(trigger, present, self._moment(at)))
        if at is not None and at <= now:
            at = _ms(next_fire(trigger, present))
        return times, at

    async def _run_ready(self) -> None:
        now = self._world.clock.now()
        for run in await self.storage.ready(self._plugins, now, self._running.keys()):
            if not self._stopped:
                task = asyncio.create_task(self._run(run), name=f"job {run.job.endpoint}")
                self._running[run.seq] = run, task

    async def _arm(self) -> None:
        wake_at = await self.storage.wake_at(self._plugins, self._running.keys())
        self._look_again |= self._world.clock.now() < self._looked_at  # set back meanwhile
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_at is not None and not self._stopped:
            self._timer = self._world.clock.call_at(wake_at, self.changed)

    # ------------------------------------------------------------ one run

    async def _run(self, row: RunRow) -> None:
        journal = self._world.journal
        run = await journal.begin(run_key(row.seq), ("j", row.job.id, row.fire_time))
        try:
            steps = await self._attempt(row, Steps(journal, run, row.job.endpoint))
            steps.end()
            await journal.end(run, self.storage.ended(row))
        except Exception as error:  # noqa: BLE001 - an author's code may raise anything
            await self._failed(row, error)
        else:
            self._count(row, "ok")
        finally:
            del self._running[row.seq]
            self.changed()

    async def _attempt(self, row: RunRow, steps: Steps) -> Steps:
        endpoint = self._endpoints.get(row.job.endpoint)
        if endpoint is None:
            raise LookupError(f"the job {row.job.endpoint} is not declared any more")
        scope = RunScope(self._world, steps, endpoint.plugin)
        async with asyncio.timeout((endpoint.timeout or JOB_TIMEOUT) / 1000):
            call = await endpoint.bind(scope, row.job.arguments)
            answer = await call.run(self._threads.runner(endpoint.key))
        if answer is not None:
            logger.warning("job %s returned an answer: there is nobody to give it to", endpoint.key)
        return steps

    async def _failed(self, row: RunRow, error: Exception) -> None:
        ticket, tries = reference(), row.attempts + 1
        logger.error("[%s] job %s failed (try %d)", ticket, row.job.endpoint, tries, exc_info=error)
        problem = f"{type(error).__name__} [{ticket}]"
        parked = tries >= self._tries
        again_at = self._world.clock.now() + delay(tries)
        note = (
            self.storage.park(row, problem)
            if parked
            else self.storage.put_off(row, again_at, problem)
        )
        self._count(row, "failed")
        try:
            await self._world.account.database.write(note)
        except StorageError as failure:
            logger.error("the failure of a job cannot be noted: %s", failure)  # noqa: TRY400
        if parked:
            self._world.metrics.parked += 1
            logger.error("[%s] job %s is given up for this time", ticket, row.job.endpoint)
        else:
            self._world.metrics.retried += 1

    def _count(self, row: RunRow, outcome: str) -> None:
        self._world.metrics.job_runs[row.job.plugin, outcome] += 1

    # ------------------------------------------------------------ ending

    async def drain(self, plugins: Collection[str] | None = None) -> None:
        """Wait until no job (of these plugins) runs."""
        while running := [
            task
            for run, task in self._running.values()
            if plugins is None or run.job.plugin in plugins
        ]:
            await asyncio.wait(running)

    def stop(self) -> None:
        """Fire nothing more; what runs goes on."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def close(self) -> None:
        """Stop at once; runs that have not ended are run again after the next start."""
        self.stop()
        tasks = [task for _, task in self._running.values()]
        tasks += [self._looking] if self._looking is not None else []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # ------------------------------------------------------------ time

    def _trigger(self, row: JobRow) -> Trigger:
        start = min(row.created_at, self._world.clock.now())  # not later: that clock was ahead
        return build_trigger(row.schedule, self._world.timezone, self._moment(start))

    def _moment(self, ms: int) -> datetime:
        return datetime.fromtimestamp(ms / 1000, self._world.timezone)


@overload
def _ms(moment: datetime) -> int: ...
@overload
def _ms(moment: datetime | None) -> int | None: ...
def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
