"""The announcer: begins broadcasts, now or at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chatbot.plugins.builtin.broadcast.audiences import Audiences
from chatbot.plugins.builtin.broadcast.courier import JOB as COURIER
from chatbot.plugins.builtin.broadcast.ledger import Ledger
from chatbot.plugins.context import Bot
from chatbot.plugins.replies import Content
from chatbot.plugins.services import ScheduledJob, Scheduler

JOB: Final = "announce"
"""The job that begins a broadcast at its time."""

_COUNTER: Final = "announcements"


@dataclass(frozen=True, slots=True)
class When:
    """A time to announce something at; without either it is now.

    Attributes:
        at: aware.
        cron: five fields.
    """

    at: datetime | None = None
    cron: str | None = None

    @property
    def is_now(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.at is None and self.cron is None


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is scheduled.

    Attributes:
        number: counted by themselves; broadcasts have numbers of their own.
        id: the scheduler's.
        next_run: aware.
        cron: empty for what is announced once.
    """

    number: int
    id: str
    audience: str
    text: str
    next_run: datetime | None
    cron: str


@dataclass(frozen=True, slots=True)
class Announcer:
    """Begins broadcasts (`Broadcaster`), in the name of whoever asks."""

    bot: Bot
    ledger: Ledger
    audiences: Audiences
    scheduler: Scheduler

    async def broadcast(self, audience: str, content: Content) -> str:
        """Begin a broadcast; its number.

        Raises:
            ValueError: no such audience, or nothing to send.
        """
        name = await self.audiences.check(audience)
        now = round(self.bot.now().timestamp() * 1000)
        begun = await self.ledger.begin(name, content, now)
        await self.go_on()
        return str(begun.number)

    async def go_on(self) -> None:
        """There is something to deliver."""
        await self.scheduler.schedule(COURIER, after="1ms", key=COURIER)

    async def announce(self, when: When, audience: str, text: str) -> Announcement:
        """Begin a broadcast at a time.

        Raises:
            ValueError: no such audience, or a time that never comes.
        """
        number = await self.ledger.store.incr(_COUNTER)
        arguments = {
            "number": number,
            "audience": await self.audiences.check(audience),
            "text": text,
            "cron": when.cron or "",
        }
        job = await self.scheduler.schedule(
            JOB, at=when.at, cron=when.cron, arguments=arguments, key=f"{JOB} {number}"
        )
        return _announcement(job)

    async def announcements(self) -> list[Announcement]:
        """What is scheduled, soonest first."""
        return [_announcement(job) for job in await self.scheduler.jobs() if job.job == JOB]

    async def drop(self, number: int) -> bool:
        """Announce it no more; whether it was scheduled."""
        for announcement in await self.announcements():
            if announcement.number == number:
                return await self.scheduler.cancel(announcement.id)
        return False


def _announcement(job: ScheduledJob) -> Announcement:
    of = job.arguments
    return Announcement(
        number=int(str(of["number"])),
        id=job.id,
        audience=str(of["audience"]),
        text=str(of["text"]),
        next_run=job.next_run,
        cron=str(of["cron"]),
    )
