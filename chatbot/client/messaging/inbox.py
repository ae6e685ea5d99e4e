"""The inbox: stored messages on their way to their handlers, in order, a few in memory at a time.

The rows are the queue. What arrives while there is room goes straight into its conversation's
lane; past that it stays on the disk and is read from there when lanes have emptied.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from chatbot.client.exceptions import StorageError
from chatbot.client.lanes import CONCURRENCY, Lanes
from chatbot.client.storage.message_storage import (
    ConversationKind,
    InboxEntry,
    MessageStorage,
)

WINDOW: Final = 1000
"""Entries in memory at most."""

logger = logging.getLogger(__name__)


class Inbox:
    """Hands each entry to `handle`: in order within a conversation, concurrently across them.

    Args:
        handle: marks the entry as done in the storage itself; what it raises is logged.
        kind: only entries of that kind, for a consumer that cannot handle the other.
        window: how many entries may be in memory.
        concurrency: how many conversations are handled at once.
    """

    def __init__(
        self,
        messages: MessageStorage,
        handle: Callable[[InboxEntry], Awaitable[None]],
        *,
        kind: ConversationKind | None = None,
        window: int = WINDOW,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self._messages = messages
        self._handle = handle
        self._kind = kind
        self._window = window
        self._lanes = Lanes(concurrency)
        self._in_memory = 0
        self._last = 0
        self._backlog = True
        self._arrived_meanwhile = False
        self._feeder: asyncio.Task[None] | None = None
        self._started = False

    def __len__(self) -> int:
        """Entries in memory."""
        return self._in_memory

    @property
    def lanes(self) -> int:
        """Conversations that have something to be handled."""
        return len(self._lanes)

    def start(self) -> None:
        """Hand out what is stored, then what arrives."""
        self._started = True
        self._feed()

    def arrived(self, entry: InboxEntry) -> None:
        """An entry is stored; called in the order of their seqs."""
        if self._backlog or self._in_memory >= self._window:
            self._backlog = self._arrived_meanwhile = True
            self._feed()
        else:
            self._submit(entry)

    def in_turn(self, conversation: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do something else in a conversation's turn, behind what is in memory of it already."""
        self._lanes.submit(conversation, work)

    async def join(self) -> None:
        """Wait until everything in memory has been handled."""
        if self._feeder is not None:
            await asyncio.wait({self._feeder})
        await self._lanes.join()

    async def close(self) -> None:
        """Stop handling; what is not done stays stored."""
        self._started = False
        if self._feeder is not None:
            self._feeder.cancel()
            await asyncio.wait({self._feeder})
        await self._lanes.close()

    def _submit(self, entry: InboxEntry) -> None:
        self._last = entry.seq
        self._in_memory += 1
        self._lanes.submit(entry.conversation, lambda: self._run(entry))

    async def _run(self, entry: InboxEntry) -> None:
        try:
            await self._handle(entry)
        finally:
            self._in_memory -= 1
            if self._backlog:
                self._feed()

    def _feed(self) -> None:
        room = self._in_memory <= self._window // 2
        if self._started and room and self._feeder is None:
            self._feeder = asyncio.create_task(self._read_backlog(), name="inbox")

    async def _read_backlog(self) -> None:
        try:
            while self._backlog and self._in_memory < self._window:
                self._arrived_meanwhile = False
                limit = self._window - self._in_memory
                entries = await self._messages.pending(self._last, limit, kind=self._kind)
                for entry in entries:
                    self._submit(entry)
                self._backlog = self._arrived_meanwhile or len(entries) == limit
        except StorageError as error:
            logger.error("the inbox cannot be read: %s", error)  # noqa: TRY400 - no surprise
        finally:
            self._feeder = None
