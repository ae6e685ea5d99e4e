"""The inbox: stored messages on their way to their handlers, in order, a few in memory at a time.

The rows are the queue. What arrives while there is room goes straight into its conversation's
lane; past that it stays on the disk and is read from there when the lane has emptied. One who
writes a lot fills no more than one share of the memory, and keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
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

SHARE: Final = 100
"""Entries of one conversation among them at most."""

logger = logging.getLogger(__name__)


class Inbox:
    """Hands each entry to `handle`: in order within a conversation, concurrently across them.

    Args:
        handle: marks the entry as done in the storage itself; what it raises is logged.
        kind: only entries of that kind, for a consumer that cannot handle the other.
        window: how many entries may be in memory.
        share: how many of one conversation.
        concurrency: how many conversations are handled at once.
    """

    def __init__(
        self,
        messages: MessageStorage,
        handle: Callable[[InboxEntry], Awaitable[None]],
        *,
        kind: ConversationKind | None = None,
        window: int = WINDOW,
        share: int = SHARE,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self._messages = messages
        self._handle = handle
        self._kind = kind
        self._window = window
        self._share = share
        self._lanes = Lanes(concurrency)
        self._in_memory = 0
        self._held: Counter[str] = Counter()
        self._behind: dict[str, int] = {}
        self._arrived: set[str] = set()
        self._read_up_to: dict[str, int] = {}
        self._due: dict[str, None] = {}
        self._feeder: asyncio.Task[None] | None = None
        self._started = False
        self._knows_what_was_left = False

    def __len__(self) -> int:
        """Entries in memory."""
        return self._in_memory

    @property
    def lanes(self) -> int:
        """Conversations that have something to be handled."""
        return len(self._lanes)

    def start(self) -> None:
        """Hand out what is stored, then what arrives. May be called twice."""
        if self._started:
            return
        self._started = True
        self._feeder = asyncio.create_task(self._read_what_was_left(), name="inbox")

    def arrived(self, entry: InboxEntry) -> None:
        """An entry is stored; called in the order of their seqs."""
        conversation = entry.conversation
        if entry.seq <= self._read_up_to.get(conversation, 0):
            return  # what is committed can be read before its writer says so
        self._read_up_to.pop(conversation, None)
        if conversation in self._behind:
            self._arrived.add(conversation)
        elif self._may_take(conversation):
            self._submit(entry)
        else:
            self._leave(conversation, entry.seq - 1)

    def in_turn(self, conversation: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do something else in a conversation's turn, behind what is in memory of it already."""
        self._lanes.submit(conversation, work)

    async def close(self) -> None:
        """Stop handling; what is not done stays stored."""
        self._started = False
        if self._feeder is not None:
            self._feeder.cancel()
            await asyncio.wait({self._feeder})
        await self._lanes.close()

    # ------------------------------------------------------------ in memory

    def _may_take(self, conversation: str) -> bool:
        room = self._in_memory < self._window and self._held[conversation] < self._share
        return room and self._knows_what_was_left

    def _submit(self, entry: InboxEntry) -> None:
        self._in_memory += 1
        self._held[entry.conversation] += 1
        self._lanes.submit(entry.conversation, lambda: self._run(entry))

    async def _run(self, entry: InboxEntry) -> None:
        try:
            await self._handle(entry)
        finally:
            self._in_memory -= 1
            self._held[entry.conversation] -= 1
            self._look_after(entry.conversation)
            self._feed()

    # ------------------------------------------------------------ on the disk

    def _leave(self, conversation: str, after: int) -> None:
        """Entries of this conversation behind that seq are on the disk only."""
        self._behind[conversation] = after
        self._look_after(conversation)
        self._feed()

    def _look_after(self, conversation: str) -> None:
        """Have more of it read if there is more, and little of it in memory."""
        if not self._held[conversation]:
            del self._held[conversation]
        if conversation in self._behind and self._held[conversation] <= self._share // 2:
            self._due[conversation] = None

    def _feed(self) -> None:
        if self._started and self._due and self._feeder is None and self._in_memory < self._window:
            self._feeder = asyncio.create_task(self._read_due(), name="inbox")

    async def _read_what_was_left(self) -> None:
        try:
            for conversation in await self._messages.waiting(self._kind):
                self._leave(conversation, 0)
            self._knows_what_was_left = True
        except StorageError as error:
            logger.error("the inbox cannot be read: %s", error)  # noqa: TRY400 - no surprise
        await self._read_due()

    async def _read_due(self) -> None:
        try:
            while self._due and self._in_memory < self._window:
                conversation = next(iter(self._due))
                del self._due[conversation]
                await self._read(conversation)
        except StorageError as error:
            logger.error("the inbox cannot be read: %s", error)  # noqa: TRY400 - no surprise
        finally:
            self._feeder = None

    async def _read(self, conversation: str) -> None:
        """Take in what there is room for; more may arrive meanwhile."""
        room = self._window - self._in_memory
        limit = min(self._share - self._held[conversation], room)
        self._arrived.discard(conversation)
        after = self._behind[conversation]
        self._in_memory += limit  # nobody else may take this room meanwhile
        try:
            entries = await self._messages.pending(after, limit, conversation=conversation)
        finally:
            self._in_memory -= limit
        for entry in entries:
            self._submit(entry)
            self._read_up_to[conversation] = entry.seq
        if len(entries) < limit and conversation not in self._arrived:
            del self._behind[conversation]
            self._due.pop(conversation, None)  # where something was handled meanwhile
        else:
            self._leave(conversation, entries[-1].seq if entries else after)
