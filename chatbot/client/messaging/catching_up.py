"""Catching up: reading from the histories what was missed (PROTOCOL.md 4.3).

The backend pushes nothing on connect. So after every connection the known peers' histories are
read, then (at start, or after a longer absence) those of all users, since a stranger who wrote
meanwhile is found no other way, then the groups'. Live frames of a conversation wait behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from chatbot.client.exceptions import StorageError, WhatsAppClientError
from chatbot.client.storage.database import Database
from chatbot.client.storage.watermark_storage import SWEEP, WatermarkStorage
from chatbot.client.transport.rest_client import RestClient
from chatbot.wire import GroupHistoryRow, HistoryRow, MessageFrame

from .conversation import Conversation, Conversations
from .group_messages import GroupMessages
from .message_ids import MessageIds
from .receiving import Receiver
from .sending import Sender

SLACK: Final = 60_000
"""How far behind the watermark (ms) reading starts, since clocks differ."""

SWEEP_AFTER: Final = 60_000
"""An absence (ms) after which every user is looked at, not only the known peers."""

SWEEP_INTERVAL: Final = 0.2
"""Seconds between two strangers' histories."""

RETRY_INTERVAL: Final = 60.0
"""Seconds until a conversation that could not be finished is read again."""

READERS: Final = 4
"""Histories that are read at the same time."""

CHUNK: Final = 200
"""Rows that are handled together."""

logger = logging.getLogger(__name__)


class CatchUp:
    """Reads histories, the most urgent first, and lets the live frames through behind them.

    Args:
        epoch: ms; rows older than our own keys cannot be read and are not tried.
        max_age: ms; rows older than that are not handled.
        on_rollback: called when the history holds messages of ours that the storage does not know.
    """

    def __init__(
        self,
        *,
        me: str,
        epoch: int,
        max_age: int,
        database: Database,
        watermarks: WatermarkStorage,
        rest: RestClient,
        conversations: Conversations,
        receiver: Receiver,
        sender: Sender,
        groups: GroupMessages,
        ids: MessageIds,
        clock: Callable[[], int],
        on_rollback: Callable[[], None],
    ) -> None:
        self._me = me
        self._epoch = epoch
        self._max_age = max_age
        self._database = database
        self._watermarks = watermarks
        self._rest = rest
        self._conversations = conversations
        self._receiver = receiver
        self._sender = sender
        self._groups = groups
        self._ids = ids
        self._clock = clock
        self._on_rollback = on_rollback
        self._due: dict[str, None] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._round: asyncio.Task[None] | None = None
        self._newest = 0

    # ------------------------------------------------------------ when

    def connected(self, *, sweep: bool) -> None:
        """A connection is up: read what was missed without it."""
        self.stop()
        self._round = asyncio.create_task(self._catch_up(sweep=sweep), name="catching up")
        self._round.add_done_callback(_log_failure)

    def due(self, peer_id: str) -> None:
        """Something of this conversation was left to its history: read it as soon as possible."""
        self._conversations.behind.add(peer_id)
        self._due[peer_id] = None
        self._start_readers()

    def stop(self) -> None:
        """The connection is gone: what is behind stays behind until the next."""
        for task in (*self._readers, *([self._round] if self._round is not None else [])):
            task.cancel()
        self._readers.clear()
        self._round = None
        self._conversations.behind.everyone = True

    async def close(self) -> None:
        """Stop and wait until everything has stopped."""
        tasks = [*self._readers, *([self._round] if self._round is not None else [])]
        self.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _catch_up(self, *, sweep: bool) -> None:
        self._newest = await self._watermarks.newest()
        peers = await self._watermarks.known_peers()
        self._conversations.behind.add(*peers)
        self._conversations.behind.everyone = False
        self._due.update(dict.fromkeys(peers))
        self._start_readers()
        for conversation in self._conversations:
            self._resume(conversation)
        try:
            for group_id in await self._groups.joined():
                await self._read_group(group_id)
        finally:
            self._groups.release()
        if sweep:
            await self._sweep(set(peers))

    async def _sweep(self, known: set[str]) -> None:
        """Look at everybody else, a few a second."""
        started = self._clock()
        after = await self._watermarks.position(SWEEP)
        for user in await self._rest.users():
            if user.id not in known and user.id != self._me:
                await self._look_at(user.id, max(after - SLACK, self._epoch))
                await asyncio.sleep(SWEEP_INTERVAL)
        await self._database.write(
            self._watermarks.advance(SWEEP, "direct", started, self._clock())
        )

    async def _look_at(self, user_id: str, after: int) -> None:
        """Read a stranger's history; what it writes meanwhile waits behind it."""
        self._conversations.behind.add(user_id)
        try:
            conversation = await self._conversations.open(user_id)
            async with conversation.exclusive:
                await self._read_rows(conversation, after)
        finally:
            self._let_through(user_id)

    # ------------------------------------------------------------ one conversation after another

    def _start_readers(self) -> None:
        while len(self._readers) < min(READERS, len(self._due)):
            task = asyncio.create_task(self._read_due(), name="history reader")
            self._readers.add(task)
            task.add_done_callback(self._readers.discard)
            task.add_done_callback(_log_failure)

    async def _read_due(self) -> None:
        while self._due:
            peer_id = self._most_urgent()
            del self._due[peer_id]
            await self._read_conversation(peer_id)

    def _most_urgent(self) -> str:
        """Somebody whose live frames wait already, or else the next in line."""
        for conversation in self._conversations:
            if conversation.inbound and conversation.peer_id in self._due:
                return conversation.peer_id
        return next(iter(self._due))

    async def _read_conversation(self, peer_id: str) -> None:
        try:
            conversation = await self._conversations.open(peer_id)
            after = await self._watermarks.position(peer_id)
            async with conversation.exclusive:
                complete, newest = await self._read_rows(
                    conversation, max(after - SLACK, self._epoch)
                )
            if complete:
                await self._database.write(
                    self._watermarks.advance(peer_id, "direct", newest, self._clock())
                )
        except WhatsAppClientError as error:
            logger.warning("the history with %s cannot be read now: %s", peer_id, error)
            complete = False
        self._let_through(peer_id)
        if not complete:
            asyncio.get_running_loop().call_later(RETRY_INTERVAL, self._try_again, peer_id)

    def _let_through(self, peer_id: str) -> None:
        """Handle and send what waited. A history that cannot be read holds nothing up for long."""
        self._conversations.behind.discard(peer_id)
        conversation = self._conversations.cached(peer_id)
        if conversation is not None:
            self._resume(conversation)

    def _resume(self, conversation: Conversation) -> None:
        self._receiver.drain(conversation)
        self._sender.pump(conversation)

    def _try_again(self, peer_id: str) -> None:
        if self._round is not None:
            self.due(peer_id)

    # ------------------------------------------------------------ rows

    async def _read_rows(self, conversation: Conversation, after: int) -> tuple[bool, int]:
        """Handle a history's rows; returns whether all were, and the newest timestamp (ms)."""
        complete, newest = True, 0
        oldest = self._clock() - self._max_age
        history = self._rest.iter_history(conversation.peer_id, after=max(after, oldest))
        async with aclosing(_chunks(history)) as chunks:
            async for chunk in chunks:
                newest = max(newest, *(row.timestamp for row in chunk))
                complete &= await self._handle(conversation, chunk)
        return complete, newest

    async def _handle(self, conversation: Conversation, rows: Sequence[HistoryRow]) -> bool:
        await self._look_for_rollback([row for row in rows if row.from_user == self._me])
        theirs = [row for row in rows if row.from_user == conversation.peer_id]
        keys = [(row.id, bool(row.encrypted)) for row in theirs]
        known = await self._watermarks.delivered(conversation.peer_id, keys)
        complete = True
        for row, key in zip(theirs, keys, strict=True):
            if key not in known:
                complete &= await self._receiver.receive(conversation, _frame(row))
        return complete

    async def _look_for_rollback(self, own: Sequence[HistoryRow]) -> None:
        newer = [r.id for r in own if r.timestamp > self._newest and self._ids.is_ours(r.id)]
        if newer and self._newest and await self._watermarks.unknown(self._me, newer):
            logger.error("the history holds messages of ours that this disk does not know")
            self._on_rollback()

    # ------------------------------------------------------------ groups

    async def _read_group(self, group_id: str) -> None:
        after = await self._watermarks.position(group_id)
        oldest = max(after - SLACK, self._epoch, self._clock() - self._max_age)
        try:
            pages = [p async for p in self._rest.iter_group_pages(group_id, after=oldest)]
        except WhatsAppClientError as error:
            logger.warning("the history of group %s cannot be read now: %s", group_id, error)
            return
        rows: list[GroupHistoryRow] = [row for page in reversed(pages) for row in page]
        self._groups.missed(group_id, rows)
        if rows:
            await self._database.write(
                self._watermarks.advance(group_id, "group", rows[-1].timestamp, self._clock())
            )


async def _chunks(
    history: AsyncGenerator[HistoryRow],
) -> AsyncGenerator[list[HistoryRow]]:
    chunk: list[HistoryRow] = []
    async with aclosing(history) as rows:
        async for row in rows:
            chunk.append(row)
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def _frame(row: HistoryRow) -> MessageFrame:
    return MessageFrame(
        id=row.id,
        from_=row.from_user,
        to=row.to_user,
        content=row.content,
        timestamp=row.timestamp,
        status=row.status,
        type=row.type,
        encrypted=row.encrypted,
        image_data=row.image_data,
    )


def _log_failure(done: asyncio.Task[None]) -> None:
    if done.cancelled() or (error := done.exception()) is None:
        return
    level = logging.WARNING if isinstance(error, WhatsAppClientError) else logging.ERROR
    logger.log(level, "catching up stopped: %s", error)
    if not isinstance(error, StorageError | WhatsAppClientError):
        logger.error("catching up failed", exc_info=error)
