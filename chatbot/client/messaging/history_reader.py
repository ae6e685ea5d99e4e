"""Reading one conversation's history: what is new in it, in order (PROTOCOL.md 4.3).

A history comes whole, as a stream; it is handled in parts of a bounded size.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

from chatbot.client.crypto.message import is_encrypted
from chatbot.client.storage.database import Database
from chatbot.client.storage.message_storage import DELIVERED, REPORTED
from chatbot.client.storage.watermark_storage import WatermarkStorage
from chatbot.client.transport.rest_client import RestClient
from chatbot.wire import GroupHistoryRow, HistoryRow, MessageFrame

from .conversation import Conversation, Conversations
from .message_ids import MessageIds
from .receiving import Receiver

SLACK: Final = 60_000
"""How far behind the watermark (ms) reading starts, since clocks differ."""

CHUNK: Final = 200
"""Rows that are handled together, at the most."""

CHUNK_SIZE: Final = 4 * 1024 * 1024
"""Characters in them, beyond which fewer rows are."""

ROW_SIZE: Final = 1000
"""What a row takes in memory beside its contents, roughly."""


class HistoryReader:
    """Hands the missed rows of a conversation to the receiver.

    Args:
        me: our own user id.
        oldest: until when (ms) rows are too old to be handled.
        clock: ms since the epoch.
        on_rollback: called, and waited for, when a history holds messages of ours that the
            storage does not know; it raises.
    """

    def __init__(
        self,
        *,
        me: str,
        database: Database,
        watermarks: WatermarkStorage,
        rest: RestClient,
        conversations: Conversations,
        receiver: Receiver,
        ids: MessageIds,
        oldest: Callable[[], int],
        clock: Callable[[], int],
        on_rollback: Callable[[], Awaitable[None]],
    ) -> None:
        self._me = me
        self._database = database
        self._watermarks = watermarks
        self._rest = rest
        self._conversations = conversations
        self._receiver = receiver
        self._ids = ids
        self._oldest = oldest
        self._clock = clock
        self._on_rollback = on_rollback

    async def read(self, peer_id: str, after: int = 0) -> bool:
        """Handle what is new in a history.

        What waits for the peer's new identity to be accepted is read again then.

        Args:
            peer_id: whose history.
            after: ms; where it is known that nothing older was missed.

        Returns:
            False if it is to be read again in a while.

        Raises:
            ConnectionError: the backend cannot be reached.
            StorageError: the storage cannot be.
        """
        self._conversations.behind.add(peer_id)
        conversation = await self._conversations.open(peer_id)
        async with conversation.exclusive:
            position = await self._watermarks.position(peer_id)
            started = conversation.read_at = self._clock()
            oldest = max(position - SLACK, after, self._oldest())
            waiting, began = len(conversation.inbound), time.monotonic()
            try:
                complete, newest = await self._read_rows(conversation, oldest, position)
            finally:
                conversation.cleared = waiting
                conversation.read_took = round(1000 * (time.monotonic() - began))
        if complete and newest:
            newest = min(newest, started)  # nobody's clock may hide what is still to come
            await self._database.write(
                self._watermarks.advance(peer_id, "direct", newest, self._clock())
            )
        return complete or conversation.pending_identity is not None

    async def _read_rows(
        self, conversation: Conversation, after: int, position: int
    ) -> tuple[bool, int]:
        """Handle a history's rows newer than `after` (ms).

        Args:
            conversation: whose history.
            after: ms.
            position: the watermark (ms): up to there every message of ours is known.

        Returns:
            Whether all of them were handled, and the newest timestamp (ms).
        """
        complete, newest = True, 0
        history = self._rest.iter_history(conversation.peer_id, after=after)
        async with aclosing(chunks(history)) as parts:
            async for chunk in parts:
                await self._look_for_rollback([row for row in chunk if row.timestamp > position])
                newest = max(newest, *(row.timestamp for row in chunk))
                complete &= await self._handle(conversation, chunk)
        return complete, newest

    async def _look_for_rollback(self, rows: Sequence[HistoryRow]) -> None:
        own = [r.id for r in rows if r.from_user == self._me and self._ids.is_ours(r.id)]
        if own and await self._watermarks.unknown(self._me, own):
            await self._on_rollback()

    async def _handle(self, conversation: Conversation, rows: Sequence[HistoryRow]) -> bool:
        theirs = [
            row for row in rows if row.from_user == conversation.peer_id and row.to_user == self._me
        ]
        keys = [(row.id, is_encrypted(row.content, row.encrypted)) for row in theirs]
        seen = await self._watermarks.seen(conversation.peer_id, keys)
        complete = True
        for row, key in zip(theirs, keys, strict=True):
            if (state := seen.get(key)) != DELIVERED:
                complete &= await self._receiver.receive(
                    conversation, _frame(row), live=False, again=state == REPORTED
                )
        return complete


async def chunks(history: AsyncGenerator[HistoryRow]) -> AsyncGenerator[list[HistoryRow]]:
    """A history in lists of a bounded size; closes it in the end."""
    chunk: list[HistoryRow] = []
    size = 0
    async with aclosing(history) as rows:
        async for row in rows:
            chunk.append(row)
            size += size_of(row)
            if len(chunk) == CHUNK or size > CHUNK_SIZE:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def size_of(row: HistoryRow | GroupHistoryRow) -> int:
    """About how many bytes a row takes in memory."""
    return ROW_SIZE + len(row.content) + len(row.image_data or "")


def _frame(row: HistoryRow) -> MessageFrame:
    return MessageFrame(
        id=row.id,
        from_=row.from_user,
        to=row.to_user,
        content=row.content,
        timestamp=row.timestamp,
        status=row.status or "sent",
        type=row.type or "text",
        encrypted=row.encrypted,
        image_data=row.image_data,
    )
