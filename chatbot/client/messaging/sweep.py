"""The sweep over all users: a stranger who wrote while we were away is found no other way.

Everybody's history is looked into, a few a second (PROTOCOL.md 4.3).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from chatbot.client.exceptions import WhatsAppClientError
from chatbot.client.storage.database import Database
from chatbot.client.storage.watermark_storage import SWEEP, WatermarkStorage
from chatbot.client.transport.rest_client import RestClient

from .history_reader import SLACK
from .retrying import work_off

SWEEP_INTERVAL: Final = 0.2
"""Seconds between two strangers' histories."""

logger = logging.getLogger(__name__)


class ReadHistory(Protocol):
    """Reads what was missed of a conversation and lets the live frames through behind it."""

    async def __call__(self, peer_id: str, after: int = 0, /) -> bool:
        """Read a history from a time (ms) on; returns False if it has to be read again.

        Raises:
            WhatsAppClientError: it cannot be read now.
        """


class Sweep:
    """Looks at everybody whom we do not know.

    Args:
        me: our own user id.
        clock: ms since the epoch.

    Attributes:
        due: whether it has not come to its end since that was asked for.
        looked_at: whose histories have been read since the connection began.
    """

    def __init__(
        self,
        *,
        me: str,
        database: Database,
        watermarks: WatermarkStorage,
        rest: RestClient,
        read: ReadHistory,
        clock: Callable[[], int],
    ) -> None:
        self._me = me
        self._database = database
        self._watermarks = watermarks
        self._rest = rest
        self._read = read
        self._clock = clock
        self.due = True
        self.looked_at: set[str] = set()

    def waits_for(self, user_id: str) -> bool:
        """Whether somebody who writes now may have written before, and was not looked at yet."""
        return self.due and user_id not in self.looked_at

    async def run(self) -> None:
        """Look at everybody, until each could be."""
        started = self._clock()
        position = await self._watermarks.position(SWEEP)
        if position > started:  # our clock was ahead then: who knows what was looked at
            await self._database.write(self._watermarks.forget(SWEEP))
            position = 0
        after = position - SLACK
        await work_off(self._strangers, lambda user_id: self._look_at(user_id, after))
        await self._database.write(
            self._watermarks.advance(SWEEP, "direct", started, self._clock())
        )
        self.due = False

    async def _strangers(self) -> list[str]:
        known = {self._me, *await self._watermarks.known_peers()}
        return [user.id for user in await self._rest.users() if user.id not in known]

    async def _look_at(self, user_id: str, after: int) -> bool:
        """Read a stranger's history; what it writes meanwhile waits behind it."""
        await asyncio.sleep(SWEEP_INTERVAL)
        if user_id in self.looked_at:
            return True
        try:
            settled = await self._read(user_id, after)
        except WhatsAppClientError as error:
            logger.warning("the history with %s cannot be read now: %s", user_id, error)
            settled = False
        if not settled:
            self.looked_at.discard(user_id)
        return settled
