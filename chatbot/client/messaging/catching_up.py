"""Catching up: reading from the histories what was missed (PROTOCOL.md 4.3).

The backend pushes nothing on connect. So after every connection the known peers' histories are
read (`agenda`, `history_reader`), then (at start, or after a longer absence) those of all users
(`sweep`), then the groups' (`group_catch_up`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from chatbot.client.background import BackgroundTasks
from chatbot.client.exceptions import StorageError
from chatbot.client.storage.database import Database
from chatbot.client.storage.watermark_storage import SWEEP, WatermarkStorage
from chatbot.client.transport.rest_client import RestClient

from .agenda import Agenda
from .conversation import Conversation, Conversations
from .group_catch_up import GroupCatchUp
from .group_messages import GroupMessages
from .history_reader import HistoryReader
from .message_ids import MessageIds
from .receiving import Receiver
from .sending import Sender
from .sweep import Sweep

SWEEP_AFTER: Final = 60_000
"""An absence (ms) after which every user is looked at, not only the known peers."""

RECOVERY_INTERVAL: Final = 5.0
"""Seconds until a storage that failed is tried again."""

logger = logging.getLogger(__name__)


class CatchUp:
    """Reads histories after every connection, and lets the live frames through behind them.

    Args:
        me: our own user id.
        max_age: ms; rows older than that are not handled.
        agenda: which peers' histories are due; it is started and stopped here.
        clock: ms since the epoch.
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
        agenda: Agenda,
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
        self.epoch = epoch
        self._max_age = max_age
        self._agenda = agenda
        self._database = database
        self._watermarks = watermarks
        self._conversations = conversations
        self._receiver = receiver
        self._sender = sender
        self._groups = groups
        self._clock = clock
        self._on_rollback = on_rollback
        self._began = 0
        self._tasks = BackgroundTasks("catching up")
        self._reader = HistoryReader(
            me=me,
            database=database,
            watermarks=watermarks,
            rest=rest,
            conversations=conversations,
            receiver=receiver,
            ids=ids,
            oldest=self._oldest,
            clock=clock,
            on_rollback=self._rolled_back,
        )
        self._sweep = Sweep(
            me=me,
            database=database,
            watermarks=watermarks,
            rest=rest,
            read=self.read,
            clock=clock,
        )
        self._group_catch_up = GroupCatchUp(
            database=database,
            watermarks=watermarks,
            rest=rest,
            groups=groups,
            oldest=self._oldest,
            clock=clock,
        )

    def _oldest(self) -> int:
        return max(self.epoch, self._clock() - self._max_age)

    # ------------------------------------------------------------ when

    def connected(self, *, sweep: bool) -> None:
        """A connection is up: read what was missed without it.

        Args:
            sweep: look at every user, and not only at those known. One that was cut short is taken
                up again in any case.
        """
        self.stop()
        self._began = self._clock()
        self._sweep.due |= sweep
        self._sweep.looked_at.clear()
        self._agenda.start(self._read, self._resume)
        self._tasks.spawn(self._catch_up())

    def recover(self) -> None:
        """The storage failed: what was in memory is lost, so read everything again once it works.

        Until then nothing is handled or sent.
        """
        self.stop()
        self._tasks.spawn(self._catch_up_once_storage_works())

    def heard_from(self, peer_id: str) -> None:
        """A live frame came: a stranger's waits behind what that one wrote before, swept or not."""
        if self._sweep.waits_for(peer_id):
            self._sweep.looked_at.add(peer_id)
            self._agenda.due(peer_id)

    def group_missed(self, group_id: str) -> None:
        """Something of this group was left to its history: read it in a little while."""
        self._tasks.spawn(self._group_catch_up.read_missed(group_id))

    def stop(self) -> None:
        """The connection is gone: everything is behind until the next."""
        self._agenda.stop()
        self._group_catch_up.stop()
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Stop and wait until everything has stopped."""
        self.stop()
        await self._agenda.close()
        await self._tasks.close()

    # ------------------------------------------------------------ a round

    async def _catch_up_once_storage_works(self) -> None:
        await asyncio.sleep(RECOVERY_INTERVAL)
        await self._database.write(self._watermarks.advance(SWEEP, "direct", 0, self._clock()))
        self._agenda.start(self._read, self._resume)
        await self._catch_up()

    async def _catch_up(self) -> None:
        self._agenda.all_due(*await self._watermarks.known_peers())
        self._tasks.spawn(self._group_catch_up.read_all())
        if self._sweep.due:
            self._tasks.spawn(self._sweep.run())
        await self._take_up()

    async def _take_up(self) -> None:
        """Go on with what was on its way out; it waits behind the histories like anything else."""
        for message in await self._sender.give_up_old():
            self._groups.cancel(message)
        await self._sender.connected()
        await self._groups.connected()

    # ------------------------------------------------------------ one conversation

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
        if self._sweep.waits_for(peer_id):
            self._conversations.behind.add(peer_id)  # answers wait until it is read to its end
        try:
            return await self._read(peer_id, after)
        finally:
            self._agenda.let_through(peer_id)

    async def _read(self, peer_id: str, after: int = 0) -> bool:
        self._sweep.looked_at.add(peer_id)
        return await self._reader.read(peer_id, after)

    def _resume(self, conversation: Conversation) -> None:
        self._receiver.drain(conversation)
        self._sender.pump(conversation)

    async def _rolled_back(self) -> None:
        logger.error("the history holds messages of ours that this storage does not know")
        self.stop()
        self._on_rollback(self._began)
        await asyncio.sleep(0)  # where a task of ours, now cancelled, ends
        raise StorageError("this storage is an old copy; its sessions are established anew")
