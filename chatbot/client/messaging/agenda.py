"""Which histories are to be read, which of them first, and when again (PROTOCOL.md 4.3).

Live frames of a conversation wait behind its history while it is due; for one that cannot be read
they do not wait for ever. Every history is whole, however long: so what does not hold anything up
is looked for rarely, and all the reasons to read one are served by one reading.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from chatbot.client.background import BackgroundTasks
from chatbot.client.exceptions import WhatsAppClientError

from .conversation import Conversation, Conversations
from .retrying import RETRY_INTERVAL

PATIENCE: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds between the first attempts at a history; live frames wait for those, and no longer."""

MISSED_INTERVAL: Final = 10_000
"""At most one look (ms) into a history because its peer's messages seem to be incomplete."""

GAP_INTERVAL: Final = 50
"""The same (ms) where a message waits for it, if reading the history takes next to no time."""

GAP_SHARE: Final = 4
"""Otherwise this many times as long as the last reading took, but no longer than if none did."""

READERS: Final = 4
"""Histories that are read at the same time."""

logger = logging.getLogger(__name__)


class Agenda:
    """The histories that are due, the most urgent first, and those who read them.

    Between `stop` and `start` nothing is read: what is due by then waits.

    Args:
        clock: ms since the epoch.
    """

    def __init__(self, conversations: Conversations, *, clock: Callable[[], int]) -> None:
        self._conversations = conversations
        self._clock = clock
        self._read: Callable[[str], Awaitable[bool]] | None = None
        self._resume: Callable[[Conversation], None] = _nothing
        self._due: dict[str, None] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._failures: Counter[str] = Counter()
        self._tasks = BackgroundTasks("reading histories")
        self._readers: set[asyncio.Task[None] | None] = set()

    # ------------------------------------------------------------ by whom

    def start(
        self, read: Callable[[str], Awaitable[bool]], resume: Callable[[Conversation], None]
    ) -> None:
        """There is a connection.

        Args:
            read: reads what was missed of a peer's history; returns False if something of it is
                still to be handled, and raises WhatsAppClientError if it cannot be read.
            resume: called where nothing live has to wait any longer.
        """
        self._read, self._resume = read, resume

    def stop(self) -> None:
        """There is none, or no storage: everybody is behind until the next."""
        self._read = None
        self._conversations.behind.everyone = True
        for task in self._tasks:
            task.cancel()
        self._readers.clear()
        for timer in self._later.values():
            timer.cancel()
        self._later.clear()
        self._failures.clear()

    async def close(self) -> None:
        """Stop and wait until everything has stopped."""
        self.stop()
        await self._tasks.close()

    # ------------------------------------------------------------ when

    def all_due(self, *peer_ids: str) -> None:
        """These are behind, whatever came of it before, and nobody else is."""
        self._conversations.behind.add(*peer_ids)
        self._conversations.behind.everyone = False
        self._due.update(dict.fromkeys(peer_ids))
        self._call_readers()
        for conversation in self._conversations:
            self._resume(conversation)

    def due(self, peer_id: str) -> None:
        """Something of this conversation was left to its history: read it as soon as possible."""
        self._conversations.behind.add(peer_id)
        self._due[peer_id] = None
        self._call_readers()

    def missed(self, peer_id: str) -> None:
        """Messages of this peer seem to be missing: look into the history, but not all the time."""
        self._look(peer_id, MISSED_INTERVAL)

    def gap(self, peer_id: str) -> None:
        """The same of one who has written what comes behind them: that waits until then."""
        self._conversations.behind.add(peer_id)
        conversation = self._conversations.cached(peer_id)
        took = 0 if conversation is None else conversation.read_took
        self._look(peer_id, min(max(GAP_INTERVAL, GAP_SHARE * took), MISSED_INTERVAL))

    def _look(self, peer_id: str, interval: int) -> None:
        """Read a history now, or once its last reading is so long (ms) ago."""
        conversation = self._conversations.cached(peer_id)
        wait = 0 if conversation is None else conversation.read_at + interval - self._clock()
        if wait > 0:
            self._look_later(peer_id, min(wait, interval) / 1000)
        else:
            self.due(peer_id)

    def _look_later(self, peer_id: str, seconds: float) -> None:
        """Look again in so many seconds, or earlier where that was said before."""
        if self._read is None:
            self._due[peer_id] = None
            return
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

    # ------------------------------------------------------------ one after another

    def _call_readers(self) -> None:
        while self._read is not None and len(self._readers) < min(READERS, len(self._due)):
            self._readers.add(self._tasks.spawn(self._read_due(self._read)))

    async def _read_due(self, read: Callable[[str], Awaitable[bool]]) -> None:
        try:
            while self._due:
                peer_id = self._most_urgent()
                del self._due[peer_id]
                await self._attempt(peer_id, read)
        finally:
            self._readers.discard(asyncio.current_task())

    async def _attempt(self, peer_id: str, read: Callable[[str], Awaitable[bool]]) -> None:
        try:
            settled = await read(peer_id)
        except asyncio.CancelledError:
            self._due[peer_id] = None
            raise
        except WhatsAppClientError as error:
            logger.warning("the history with %s cannot be read now: %s", peer_id, error)
            self._failed(peer_id)
        else:
            self._succeeded(peer_id, settled=settled)

    def _most_urgent(self) -> str:
        """Somebody whose live frames wait already, or else the next in line."""
        for conversation in self._conversations:
            if conversation.inbound and conversation.peer_id in self._due:
                return conversation.peer_id
        return next(iter(self._due))

    def _succeeded(self, peer_id: str, *, settled: bool) -> None:
        del self._failures[peer_id]
        self.let_through(peer_id)
        if not settled:
            self._look_later(peer_id, RETRY_INTERVAL)

    def _failed(self, peer_id: str) -> None:
        """Try a history again; the live frames wait behind the first attempts."""
        attempt = self._failures[peer_id]
        self._failures[peer_id] += 1
        if attempt < len(PATIENCE):
            self._look_later(peer_id, PATIENCE[attempt])
        else:
            self.let_through(peer_id)
            self._look_later(peer_id, RETRY_INTERVAL)

    def let_through(self, peer_id: str) -> None:
        """Handle and send what waited, unless the history is due again."""
        if peer_id in self._due:
            return
        self._conversations.behind.discard(peer_id)
        conversation = self._conversations.cached(peer_id)
        if conversation is not None:
            self._resume(conversation)


def _nothing(_: Conversation) -> None:
    """Nothing waits before there is a connection."""
