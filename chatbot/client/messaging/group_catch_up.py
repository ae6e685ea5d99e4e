"""Catching up with groups: their histories come in pages, the newest first (PROTOCOL.md 4.3)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from chatbot.client.exceptions import WhatsAppClientError
from chatbot.client.storage.database import Database
from chatbot.client.storage.watermark_storage import WatermarkStorage
from chatbot.client.transport.rest_client import RestClient
from chatbot.wire import GroupHistoryRow

from .group_messages import GroupMessages
from .history_reader import CHUNK_SIZE, SLACK, size_of
from .retrying import work_off

MISSED_INTERVAL: Final = 10.0
"""Seconds until a group of which something was left to its history is read."""

logger = logging.getLogger(__name__)


class GroupCatchUp:
    """Reads what was missed in groups, a bounded part of it after the other.

    Args:
        oldest: until when (ms) rows are too old to be handled.
        clock: ms since the epoch.
    """

    def __init__(
        self,
        *,
        database: Database,
        watermarks: WatermarkStorage,
        rest: RestClient,
        groups: GroupMessages,
        oldest: Callable[[], int],
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._watermarks = watermarks
        self._rest = rest
        self._groups = groups
        self._oldest = oldest
        self._clock = clock
        self._missed: set[str] = set()

    def stop(self) -> None:
        """The connection is gone: live frames wait until all groups were read anew."""
        self._missed.clear()
        self._groups.hold()

    async def read_all(self) -> None:
        """Read what was missed; live frames wait for the first attempt, and no longer."""
        try:
            await work_off(self._groups.joined, self._read, self._groups.release)
        finally:
            self._groups.release()

    async def read_missed(self, group_id: str) -> None:
        """Something of this group was left to its history: read it in a little while."""

        async def find() -> list[str]:
            await asyncio.sleep(MISSED_INTERVAL)
            self._missed.discard(group_id)
            return [group_id]

        if group_id not in self._missed:
            self._missed.add(group_id)
            await work_off(find, self._read)

    async def _read(self, group_id: str) -> bool:
        try:
            position = await self._watermarks.position(group_id)
            after = max(position - SLACK, self._oldest())
            while (newest := await self._read_part(group_id, after)) is not None:
                if newest <= after:
                    logger.warning("more of group %s came in a moment than can be read", group_id)
                    break
                after = newest
        except WhatsAppClientError as error:
            logger.warning("the history of group %s cannot be read now: %s", group_id, error)
            return False
        return True

    async def _read_part(self, group_id: str, after: int) -> int | None:
        """Handle the oldest rows; returns where to go on (ms), or None if nothing is left."""
        rows, is_rest = await self._oldest_missed(group_id, after)
        if not rows:
            return None
        await self._groups.missed(group_id, rows)
        newest = min(rows[-1].timestamp, self._clock())
        await self._database.write(
            self._watermarks.advance(group_id, "group", newest, self._clock())
        )
        return None if is_rest else rows[-1].timestamp - 1

    async def _oldest_missed(self, group_id: str, after: int) -> tuple[list[GroupHistoryRow], bool]:
        """The oldest rows newer than `after` (ms), and whether there are no newer ones.

        The backend gives the newest first. What is too much to hold is left for the next time.
        """
        pages: deque[list[GroupHistoryRow]] = deque()
        size, is_rest = 0, True
        async with aclosing(self._rest.iter_group_pages(group_id, after=after)) as newest_first:
            async for page in newest_first:
                pages.append(page)
                size += sum(map(size_of, page))
                while size > CHUNK_SIZE and len(pages) > 1:
                    size -= sum(map(size_of, pages.popleft()))
                    is_rest = False
        return [row for page in reversed(pages) for row in page], is_rest
