"""The courier: brings what the ledger holds to its recipients, a batch at a time.

A batch is one run of a job, and one transaction: its messages, their rows and the time of the next
batch are there together or not at all. So a crash in the middle of a batch undoes it, and a crash
behind it finds the next one due. Besides, a recipient's message has one key in one broadcast:
nothing that is done again can send it again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from msgspec.structs import replace

from chatbot.client.exceptions import (
    ConnectionError,
    DecryptionError,
    IdentityError,
    SessionNotFoundError,
    StorageError,
    ValidationError,
    WhatsAppClientError,
)
from chatbot.plugins.builtin.broadcast.audiences import Audiences, NoAudienceError
from chatbot.plugins.builtin.broadcast.config import BroadcastConfig
from chatbot.plugins.builtin.broadcast.ledger import Broadcast, Ledger, Plan, Row
from chatbot.plugins.context import Bot
from chatbot.plugins.replies import Reply
from chatbot.plugins.services import Scheduler

JOB: Final = "deliver"
"""The job that is one batch, and the key it is scheduled under: there is one courier."""

MAX_BATCH: Final = 200
"""How many recipients one batch has at most, however fast they may be written to."""

LOOK_AGAIN: Final = "30s"
"""When the backend is asked again that could not be reached."""

TRIES: Final = 5
"""How often a recipient is tried whom the backend has an error for."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of a broadcast's part of a batch.

    Attributes:
        count: how many recipients were seen to.
        held: the backend does not do its part: it goes on later.
    """

    count: int = 0
    held: bool = False


@dataclass(frozen=True, slots=True)
class Courier:
    """Delivers one batch."""

    bot: Bot
    ledger: Ledger
    audiences: Audiences
    scheduler: Scheduler
    config: BroadcastConfig
    logger: logging.Logger

    async def deliver(self) -> None:
        """See to as many recipients as may be written to now, and say when to go on."""
        rate, now = self.config.sending_rate, self._now()
        pace = await self.ledger.pace(now, rate.period)
        most = left = min(rate.count - pace.used, MAX_BATCH)
        held = False
        for number in await self.ledger.running():
            batch = await self._advance(number, left)
            left -= batch.count
            held |= batch.held
        pace = replace(pace, used=pace.used + most - left)
        await self.ledger.save_pace(pace)
        if held:
            await self.scheduler.schedule(JOB, after=LOOK_AGAIN, key=JOB)
        elif await self.ledger.running():
            next_batch = pace.since + rate.period if pace.used >= rate.count else now
            at = datetime.fromtimestamp(max(next_batch, self._now()) / 1000, self.bot.timezone)
            await self.scheduler.schedule(JOB, at=at, key=JOB)

    async def _advance(self, number: int, limit: int) -> Batch:
        """See to the next recipients of a broadcast."""
        broadcast = await self.ledger.get(number)
        if broadcast is None or limit == 0:
            return Batch()
        try:
            plan = await self.ledger.plan(number) or await self._look_up(broadcast)
        except NoAudienceError as error:
            await self._end(number, "failed", str(error))
            return Batch()
        except StorageError:
            raise
        except WhatsAppClientError as error:
            self.logger.warning("the audience of broadcast %d is not known yet: %s", number, error)
            return Batch(held=True)
        return await self._hand_over(number, plan, limit)

    async def _look_up(self, broadcast: Broadcast) -> Plan:
        """Write down who is in the audience: they get it, whoever comes or goes later."""
        recipients = await self.audiences.expand(broadcast.audience)
        for recipient in recipients.values():
            row = Row(name=recipient.name, reason=recipient.reason)
            await self.ledger.put(broadcast.number, recipient.id, row)
        return Plan(total=len(recipients))

    async def _hand_over(self, number: int, plan: Plan, limit: int) -> Batch:
        content = await self.ledger.content(number)
        rows = [row async for row in self.ledger.rows(number, after=plan.after, limit=limit + 1)]
        for count, (recipient, row) in enumerate(rows[:limit]):
            try:
                seen_to = row if row.reason else await self._send(number, recipient, row, content)
            except StorageError:
                raise
            except WhatsAppClientError as error:
                self.logger.warning("broadcast %d is held up: %s", number, error)
                tries = plan.tries + (not isinstance(error, ConnectionError))
                if tries < TRIES and not _is_hopeless(error):
                    await self.ledger.save_plan(number, replace(plan, tries=tries))
                    return Batch(count, held=True)
                seen_to = replace(row, reason=_reason(error))
            await self.ledger.put(number, recipient, seen_to)
            plan = Plan(total=plan.total, after=recipient)
        await self.ledger.save_plan(number, plan)
        if len(rows) <= limit:
            await self._end(number, "done")
        return Batch(min(len(rows), limit))

    async def _send(self, number: int, recipient: str, row: Row, content: Reply) -> Row:
        sent = await self.bot.send(recipient, content, key=f"broadcast {number}", at_end=True)
        return replace(row, message=sent.id)

    async def _end(self, number: int, standing: Literal["done", "failed"], note: str = "") -> None:
        await self.ledger.end(number, standing, self._now(), note)
        await self.ledger.forget(number - self.config.keep)
        self.logger.info("broadcast %d is %s", number, standing)

    def _now(self) -> int:
        return round(self.bot.now().timestamp() * 1000)


def _is_hopeless(error: WhatsAppClientError) -> bool:
    return isinstance(
        error, DecryptionError | IdentityError | SessionNotFoundError | ValidationError
    )


def _reason(error: WhatsAppClientError) -> str:
    # The backend's words for it are about material.
    return "has published no keys" if isinstance(error, SessionNotFoundError) else str(error)
