"""Catching up: reading from the histories what was missed (PROTOCOL.md 4.3).

The backend pushes nothing on connect. So after every connection the known peers' histories are
read, then (at start, or after a longer absence) those of all users, since a stranger who wrote
meanwhile is found no other way, then the groups'. Live frames of a conversation wait behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

from chatbot.client.background import BackgroundTasks
from chatbot.client.crypto.message import is_encrypted
from chatbot.client.exceptions import StorageError, WhatsAppClientError
from chatbot.client.storage.database import Database
from chatbot.client.storage.message_storage import DELIVERED, REPORTED
from chatbot.client.storage.watermark_storage import SWEEP, WatermarkStorage
from chatbot.client.transport.rest_client import RestClient
from chatbot.wire import GroupHistoryRow, HistoryRow, MessageFrame

from .conversation import TRUST, Conversation, Conversations
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
"""Seconds until what could not be finished is tried again."""

PATIENCE: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds between the first attempts at a history; live frames wait for those, and no longer."""

MISSED_INTERVAL: Final = 10_000
"""At most one look (ms) into a history because its peer's messages seem to be incomplete."""

GAP_INTERVAL: Final = 1_000
"""The same (ms) where a message waits for it."""

RECOVERY_INTERVAL: Final = 5.0
"""Seconds until a storage that failed is tried again."""

READERS: Final = 4
"""Histories that are read at the same time."""

CHUNK: Final = 200
"""Rows that are handled together, at the most."""

CHUNK_SIZE: Final = 4 * 1024 * 1024
"""Characters in them, beyond which fewer rows are."""

ROW_SIZE: Final = 1000
"""What a row takes in memory beside its contents, roughly."""

logger = logging.getLogger(__name__)


class CatchUp:
    """Reads histories, the most urgent first, and lets the live frames through behind them.

    Args:
        max_age: ms; rows older than that are not handled.
        on_rollback: called, once, when the history holds messages of ours that the storage does
            not know, with the time (ms) since which we are connected.

    Attributes:
        epoch: ms; rows older than our own keys cannot be read and are not tried.
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
        on_rollback: Callable[[int], None],
    ) -> None:
        self._me = me
        self.epoch = epoch
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
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._failures: Counter[str] = Counter()
        self._groups_missed: set[str] = set()
        self._tasks = BackgroundTasks("catching up")
        self._readers: set[asyncio.Task[None] | None] = set()
        self._began = 0
        self._sweep_due = True
        self._looked_at: set[str] = set()

    # ------------------------------------------------------------ when

    def connected(self, *, sweep: bool) -> None:
        """A connection is up: read what was missed without it.

        Args:
            sweep: look at every user, and not only at those known. One that was cut short is taken
                up again in any case.
        """
        self.stop()
        self._began = self._clock()
        self._sweep_due |= sweep
        self._looked_at.clear()
        self._tasks.spawn(self._catch_up())

    def recover(self) -> None:
        """The storage failed: what was in memory is lost, so read everything again once it works.

        Until then nothing is handled or sent.
        """
        self.stop()
        self._tasks.spawn(self._catch_up_once_storage_works())

    def due(self, peer_id: str) -> None:
        """Something of this conversation was left to its history: read it as soon as possible."""
        self._conversations.behind.add(peer_id)
        self._due[peer_id] = None
        self._start_readers()

    def heard_from(self, peer_id: str) -> None:
        """A live frame came: a stranger's waits behind what that one wrote before, swept or not."""
        if self._sweep_due and peer_id not in self._looked_at:
            self._looked_at.add(peer_id)
            self.due(peer_id)

    def missed(self, peer_id: str, interval: int = MISSED_INTERVAL) -> None:
        """Messages of this peer seem to be missing: look into the history, but not all the time."""
        conversation = self._conversations.cached(peer_id)
        wait = 0 if conversation is None else conversation.read_at + interval - self._clock()
        if wait > 0:
            self._look_later(peer_id, min(wait, interval) / 1000)
        else:
            self.due(peer_id)

    def gap(self, peer_id: str) -> None:
        """The same of one who has written what comes behind them: that waits until then."""
        self._conversations.behind.add(peer_id)
        self.missed(peer_id, GAP_INTERVAL)

    def opened(self, peer_id: str) -> None:
        """A session was opened lately: look, in a while, whether that hid a gap."""
        self.missed(peer_id, TRUST)

    def stop(self) -> None:
        """The connection is gone: everything is behind until the next."""
        self._conversations.behind.everyone = True
        self._groups.hold()
        for task in self._running():
            task.cancel()
        for timer in self._later.values():
            timer.cancel()
        self._later.clear()
        self._failures.clear()
        self._groups_missed.clear()
        self._readers.clear()

    async def close(self) -> None:
        """Stop and wait until everything has stopped."""
        tasks = self._running()
        self.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------ a round

    async def _catch_up_once_storage_works(self) -> None:
        await asyncio.sleep(RECOVERY_INTERVAL)
        await self._database.write(self._watermarks.advance(SWEEP, "direct", 0, self._clock()))
        await self._catch_up()

    async def _catch_up(self) -> None:
        peers = await self._watermarks.known_peers()
        self._conversations.behind.add(*peers)
        self._conversations.behind.everyone = False
        self._due.update(dict.fromkeys(peers))
        self._start_readers()
        for conversation in self._conversations:
            self._resume(conversation)
        self._tasks.spawn(self._read_groups())
        if self._sweep_due:
            self._tasks.spawn(self._sweep())
        await self._take_up()

    async def _take_up(self) -> None:
        """Go on with what was on its way out; it waits behind the histories like anything else."""
        for message in await self._sender.give_up_old():
            self._groups.cancel(message)
        await self._sender.connected()
        await self._groups.connected()

    async def _sweep(self) -> None:
        """Look at everybody whom we do not know, a few a second."""
        started = self._clock()
        position = await self._watermarks.position(SWEEP)
        if position > started:  # our clock was ahead then: who knows what was looked at
            await self._database.write(self._watermarks.forget(SWEEP))
            position = 0
        after = position - SLACK
        await self._work_off(self._strangers, lambda user_id: self._look_at(user_id, after))
        await self._database.write(
            self._watermarks.advance(SWEEP, "direct", started, self._clock())
        )
        self._sweep_due = False

    async def _strangers(self) -> list[str]:
        known = {self._me, *await self._watermarks.known_peers()}
        return [user.id for user in await self._rest.users() if user.id not in known]

    async def _look_at(self, user_id: str, after: int) -> bool:
        """Read a stranger's history; what it writes meanwhile waits behind it."""
        await asyncio.sleep(SWEEP_INTERVAL)
        if user_id in self._looked_at:
            return True
        try:
            settled = await self.read(user_id, after)
        except WhatsAppClientError as error:
            logger.warning("the history with %s cannot be read now: %s", user_id, error)
            settled = False
        if not settled:
            self._looked_at.discard(user_id)
        return settled

    async def _read_groups(self) -> None:
        """Read what was missed in groups; live frames wait for the first attempt, and no longer."""
        try:
            await self._work_off(self._groups.joined, self._read_group, self._groups.release)
        finally:
            self._groups.release()

    async def _work_off(
        self,
        find: Callable[[], Awaitable[Sequence[str]]],
        read: Callable[[str], Awaitable[bool]],
        attempted: Callable[[], None] = lambda: None,
    ) -> None:
        """Read all that `find` names; what cannot be read, again in a while."""
        names: Sequence[str] | None = None
        while names is None or names:
            try:
                found = await find() if names is None else names
                names = [name for name in found if not await read(name)]
            except WhatsAppClientError as error:
                logger.warning("what was missed cannot be read now: %s", error)
            attempted()
            if names is None or names:
                await asyncio.sleep(RETRY_INTERVAL)

    # ------------------------------------------------------------ one conversation after another

    def _start_readers(self) -> None:
        while len(self._readers) < min(READERS, len(self._due)):
            task = asyncio.create_task(self._read_due(), name="history reader")
            self._readers.add(task)
            task.add_done_callback(self._tasks.report)

    async def _read_due(self) -> None:
        try:
            while self._due:
                peer_id = self._most_urgent()
                del self._due[peer_id]
                await self._read_conversation(peer_id)
        finally:
            self._readers.discard(asyncio.current_task())

    def _most_urgent(self) -> str:
        """Somebody whose live frames wait already, or else the next in line."""
        for conversation in self._conversations:
            if conversation.inbound and conversation.peer_id in self._due:
                return conversation.peer_id
        return next(iter(self._due))

    async def read(self, peer_id: str, after: int = 0) -> bool:
        """Read what was missed of a conversation, now and whoever else is due.

        Args:
            peer_id: whose history.
            after: ms; where it is known that nothing older was missed.

        Returns:
            False if something of it is still to be handled.

        Raises:
            ConnectionError: the backend cannot be reached.
            StorageError: the storage cannot be.
        """
        try:
            return await self._read_missed(peer_id, after)
        finally:
            self._let_through(peer_id)

    async def _read_conversation(self, peer_id: str) -> None:
        try:
            settled = await self._read_missed(peer_id)
        except asyncio.CancelledError:
            self._due[peer_id] = None
            raise
        except WhatsAppClientError as error:
            logger.warning("the history with %s cannot be read now: %s", peer_id, error)
            self._failed(peer_id)
        else:
            del self._failures[peer_id]
            self._let_through(peer_id)
            if not settled:
                self._look_later(peer_id, RETRY_INTERVAL)

    def _failed(self, peer_id: str) -> None:
        """Try a history again; the live frames wait behind the first attempts."""
        attempt = self._failures[peer_id]
        self._failures[peer_id] += 1
        if attempt < len(PATIENCE):
            self._look_later(peer_id, PATIENCE[attempt])
        else:
            self._let_through(peer_id)
            self._look_later(peer_id, RETRY_INTERVAL)

    async def _read_missed(self, peer_id: str, after: int = 0) -> bool:
        """Handle what is new in a history; False if it is to be read again in a while.

        What waits for the peer's new identity to be accepted is read again then.
        """
        self._conversations.behind.add(peer_id)
        self._looked_at.add(peer_id)
        conversation = await self._conversations.open(peer_id)
        async with conversation.exclusive:
            position = await self._watermarks.position(peer_id)
            started = conversation.read_at = self._clock()
            oldest = max(position - SLACK, after, self.epoch, started - self._max_age)
            waiting = len(conversation.inbound)
            try:
                complete, newest = await self._read_rows(conversation, oldest, position)
            finally:
                conversation.cleared = waiting
        if complete and newest:
            newest = min(newest, started)  # nobody's clock may hide what is still to come
            await self._database.write(
                self._watermarks.advance(peer_id, "direct", newest, self._clock())
            )
        return complete or conversation.pending_identity is not None

    def _let_through(self, peer_id: str) -> None:
        """Handle and send what waited. A history that cannot be read holds nothing up for long."""
        if peer_id in self._due:
            return
        self._conversations.behind.discard(peer_id)
        conversation = self._conversations.cached(peer_id)
        if conversation is not None:
            self._resume(conversation)

    def _resume(self, conversation: Conversation) -> None:
        self._receiver.drain(conversation)
        self._sender.pump(conversation)

    def _look_later(self, peer_id: str, seconds: float) -> None:
        """Look again in so many seconds, or earlier where that was said before."""
        loop = asyncio.get_running_loop()
        when, timer = loop.time() + seconds, self._later.get(peer_id)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._later[peer_id] = loop.call_at(when, self._look_again, peer_id)

    def _look_again(self, peer_id: str) -> None:
        del self._later[peer_id]
        self.due(peer_id)

    # ------------------------------------------------------------ rows

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

    async def _look_for_rollback(self, rows: Sequence[HistoryRow]) -> None:
        own = [r.id for r in rows if r.from_user == self._me and self._ids.is_ours(r.id)]
        if own and await self._watermarks.unknown(self._me, own):
            logger.error("the history holds messages of ours that this storage does not know")
            self.stop()
            self._on_rollback(self._began)
            await asyncio.sleep(0)  # where a task of ours, now cancelled, ends
            raise StorageError("this storage is an old copy; its sessions are established anew")

    # ------------------------------------------------------------ groups

    def group_missed(self, group_id: str) -> None:
        """Something of this group was left to its history: read it in a little while."""

        async def find() -> list[str]:
            await asyncio.sleep(MISSED_INTERVAL / 1000)
            self._groups_missed.discard(group_id)
            return [group_id]

        if group_id not in self._groups_missed:
            self._groups_missed.add(group_id)
            self._tasks.spawn(self._work_off(find, self._read_group))

    async def _read_group(self, group_id: str) -> bool:
        """Read what was missed of a group, a bounded part of it after the other."""
        try:
            position = await self._watermarks.position(group_id)
            after = max(position - SLACK, self.epoch, self._clock() - self._max_age)
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
                size += sum(map(_size, page))
                while size > CHUNK_SIZE and len(pages) > 1:
                    size -= sum(map(_size, pages.popleft()))
                    is_rest = False
        return [row for page in reversed(pages) for row in page], is_rest

    # ------------------------------------------------------------ upkeep

    def _running(self) -> list[asyncio.Task[None]]:
        return [task for task in (*self._tasks, *self._readers) if task is not None]


async def chunks(history: AsyncGenerator[HistoryRow]) -> AsyncGenerator[list[HistoryRow]]:
    """A history in lists of a bounded size; closes it in the end."""
    chunk: list[HistoryRow] = []
    size = 0
    async with aclosing(history) as rows:
        async for row in rows:
            chunk.append(row)
            size += _size(row)
            if len(chunk) == CHUNK or size > CHUNK_SIZE:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def _size(row: HistoryRow | GroupHistoryRow) -> int:
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
