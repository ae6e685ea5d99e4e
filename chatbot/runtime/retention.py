"""Once a day: forget messages, and uses of privileged commands, that are older than wanted."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from chatbot.client.exceptions import StorageError
from chatbot.client.storage.database import Database
from chatbot.client.storage.retention import DAY, forget_old
from chatbot.runtime.clock import Clock, Timer

FIRST_WAIT: Final = 10 * 60_000
"""How long (ms) after the start it is done first: a start has enough to do."""

logger = logging.getLogger(__name__)


class Retention:
    """Looks after one bot's database between `start` and `close`.

    Args:
        keep: ms; None to forget nothing.
    """

    def __init__(self, database: Database, clock: Clock, keep: int | None) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Do it soon, then every day."""
        if (keep := self._keep) is not None:
            self._wait(FIRST_WAIT, keep)

    async def close(self) -> None:
        """Do it no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _wait(self, ms: int, keep: int) -> None:
        now = self._clock.now()
        self._timer = self._clock.call_after(now, ms, lambda: self._ring(keep))

    def _ring(self, keep: int) -> None:
        self._wait(DAY, keep)
        self._task = asyncio.create_task(self._forget(keep), name="retention")

    async def _forget(self, keep: int) -> None:
        now = self._clock.now()
        try:
            deleted = await forget_old(self._database, now=now, keep=keep)
            await self._database.write(
                lambda connection: connection.execute(
                    "DELETE FROM audit WHERE at < ?", (now - keep,)
                )
            )
        except StorageError as error:
            logger.warning("old messages cannot be deleted now: %s", error)
        else:
            logger.info("%d old messages were deleted", deleted)
