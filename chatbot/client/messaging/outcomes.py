"""What became of our messages: made durable, then told to whoever waits for it, and to all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from chatbot.client.background import BackgroundTasks
from chatbot.client.exceptions import WhatsAppClientError
from chatbot.client.models import MessageStatus
from chatbot.client.storage.database import Database
from chatbot.client.storage.message_storage import MessageStorage
from chatbot.client.storage.outbox_storage import OutboxStorage

from .conversation import Conversation
from .ports import Observer
from .send_queue import RESEND_WINDOW


class Outcomes:
    """Settles what is in the outbox.

    Args:
        me: our own user id.
        clock: ms since the epoch.
    """

    def __init__(
        self,
        *,
        me: str,
        database: Database,
        messages: MessageStorage,
        outbox: OutboxStorage,
        observer: Observer,
        clock: Callable[[], int],
    ) -> None:
        self._me = me
        self._database = database
        self._messages = messages
        self._outbox = outbox
        self._observer = observer
        self._clock = clock
        self._waiters: dict[str, asyncio.Future[MessageStatus]] = {}
        self._tasks = BackgroundTasks("settling messages")
        self._purge_timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ who waits

    @contextmanager
    def awaited(self, message_id: str) -> Iterator[asyncio.Future[MessageStatus]]:
        """Give the next status of a message, or what went wrong with it."""
        waiter = self._waiters[message_id] = asyncio.get_running_loop().create_future()
        try:
            yield waiter
        finally:
            self._waiters.pop(message_id, None)

    def tell(self, message_id: str, error: WhatsAppClientError) -> bool:
        """Fail whoever waits for a message; False if nobody does."""
        waiter = self._waiters.get(message_id)
        if waiter is None or waiter.done():
            return False
        waiter.set_exception(error)
        return True

    # ------------------------------------------------------------ what happened

    def echoed(self, conversation: Conversation, message_id: str, *, delivered: bool) -> None:
        """The backend has it; the row goes once nothing can ask for it any more."""
        status: Literal["sent", "delivered"] = "delivered" if delivered else "sent"
        settle = self._outbox.settle(message_id, status)
        advance = self._messages.advance_status(self._me, message_id, status)
        save = conversation.save(self._clock())

        def unit(connection: Any) -> bool:
            save(connection)
            settle(connection)
            return advance(connection)

        recorded = self._database.submit(unit)
        recorded.add_done_callback(partial(self._recorded, message_id, status))
        self._schedule_purge()

    def advance(self, message_id: str, status: MessageStatus) -> None:
        """The peer says how far one of our messages got."""
        moved = self._database.submit(self._messages.advance_status(self._me, message_id, status))
        moved.add_done_callback(partial(self._recorded, message_id, status))

    def _recorded(
        self, message_id: str, status: MessageStatus, recorded: asyncio.Future[bool]
    ) -> None:
        if recorded.exception() is not None:
            return
        if recorded.result():
            self._observer.status_changed(message_id, status)
        waiter = self._waiters.get(message_id)
        if waiter is not None and not waiter.done():
            waiter.set_result(status)

    def failed(self, message_id: str, error: WhatsAppClientError) -> None:
        """It will never arrive: say so to whoever waits for it, or else to all."""
        if not self.tell(message_id, error):
            self._tasks.spawn(self._settle_failed(message_id, error))

    async def _settle_failed(self, message_id: str, error: WhatsAppClientError) -> None:
        await self._database.write(self._outbox.settle(message_id, "failed"))
        message = await self._messages.get(self._me, message_id)
        if message is not None:
            self._observer.failed(message, error)

    # ------------------------------------------------------------ upkeep

    async def close(self) -> None:
        """Stop; what is not durable yet is settled next time."""
        if self._purge_timer is not None:
            self._purge_timer.cancel()
        await self._tasks.close()

    def _schedule_purge(self) -> None:
        if self._purge_timer is None:
            self._purge_timer = asyncio.get_running_loop().call_later(
                RESEND_WINDOW / 1000, self._purge
            )

    def _purge(self) -> None:
        self._purge_timer = None
        purge = self._outbox.purge(self._clock(), RESEND_WINDOW)
        self._database.submit(purge).add_done_callback(self._tasks.report)
