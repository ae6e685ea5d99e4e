"""Group messages: plaintext, with ids of the server's making (PROTOCOL.md 3).

The backend tells nobody which broadcast answers which frame, so one message of ours is in flight
per group, and its broadcast is known by sender, order and content.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from chatbot.client.background import BackgroundTasks
from chatbot.client.exceptions import (
    ConnectionError,
    PermissionDeniedError,
    ValidationError,
    WhatsAppClientError,
)
from chatbot.client.models import Message
from chatbot.client.pictures import to_data_url
from chatbot.client.storage.database import Database
from chatbot.client.storage.message_storage import InboxEntry, MessageStorage
from chatbot.client.storage.outbox_storage import OutboxStorage
from chatbot.client.transport.rest_client import RestClient
from chatbot.wire import IMAGE_PLACEHOLDER, GroupHistoryRow, GroupMessageFrame, GroupSendFrame

from .content import shown_image
from .echoes import ECHO_TIMEOUT, Echoes
from .ports import Link, Observer, Refusable

MAX_HELD: Final = 10_000
"""Live frames that wait behind the groups' histories; the rest is left to these."""

MAX_HELD_SIZE: Final = 16 * 1024 * 1024
"""Characters in them."""

CLOCK_SLACK: Final = 60_000
"""How far (ms) the backend's clock may lag behind ours when a broadcast is looked up."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Outbound:
    """What is to be sent to one group; the first is in flight where `sent_at` is set."""

    queue: deque[Message] = field(default_factory=deque)
    sent_at: int | None = None
    timer: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class GroupMessages:
    """Sends to groups and takes what comes from them."""

    def __init__(
        self,
        *,
        me: str,
        database: Database,
        messages: MessageStorage,
        outbox: OutboxStorage,
        rest: RestClient,
        link: Link,
        observer: Observer,
        echoes: Echoes,
        clock: Callable[[], int],
        on_behind: Callable[[str], None],
    ) -> None:
        self._me = me
        self._database = database
        self._messages = messages
        self._outbox = outbox
        self._rest = rest
        self._link = link
        self._observer = observer
        self._echoes = echoes
        self._clock = clock
        self._on_behind = on_behind
        self._outbound: dict[str, _Outbound] = {}
        self._waiters: dict[str, asyncio.Future[Message]] = {}
        self._held: list[GroupMessageFrame] | None = []
        self._held_size = 0
        self._tasks = BackgroundTasks("group messages")

    async def joined(self) -> list[str]:
        """The ids of the groups we are in."""
        return [group.id for group in await self._rest.groups()]

    # ------------------------------------------------------------ receiving

    def hold(self) -> None:
        """Let live frames wait until the histories have been read, which hold these too."""
        self._held, self._held_size = [], 0

    def release(self) -> None:
        """Handle what waited, and everything live from now on."""
        held, self._held = self._held or [], None
        for frame in held:
            self._take(frame)

    def accept(self, frame: GroupMessageFrame) -> None:
        """Take a frame from the socket."""
        if frame.from_user == self._me:
            self._settle_broadcast(frame)
        elif self._held is None:
            self._take(frame)
        else:
            self._hold_back(self._held, frame)

    def _hold_back(self, held: list[GroupMessageFrame], frame: GroupMessageFrame) -> None:
        self._held_size += len(frame.content) + len(frame.image_data or "")
        if len(held) < MAX_HELD and self._held_size <= MAX_HELD_SIZE:
            held.append(frame)
        else:
            self._on_behind(frame.group_id)

    async def missed(self, group_id: str, rows: Iterable[GroupHistoryRow]) -> None:
        """Take what a history holds; system events and our own messages are not handed on.

        Returns once all of it is durable.
        """
        stored = [
            self._take(_frame_of(row, group_id))
            for row in rows
            if row.from_user != self._me and not row.system_event
        ]
        await asyncio.gather(*stored)

    def _take(self, frame: GroupMessageFrame) -> asyncio.Future[int | None]:
        message = _received(frame)
        durable = self._database.submit(
            self._messages.receive(message, frame.group_id, self._clock())
        )
        durable.add_done_callback(partial(self._stored, message))
        return durable

    def _stored(self, message: Message, durable: asyncio.Future[int | None]) -> None:
        if (error := durable.exception()) is not None:
            logger.error("a group message is left to its history: %s", error)
            self._on_behind(message.group_id or "")
            return
        seq = durable.result()
        if seq is not None:
            self._observer.arrived(InboxEntry(seq, message.group_id or "", "group", message))

    # ------------------------------------------------------------ sending

    async def send(self, message: Message, *, expires_at: int) -> Message:
        """Send now and wait for the broadcast; keep nothing of what never reached the socket.

        Raises:
            ConnectionError: there is no connection.
            PermissionDeniedError: the backend does not let us write in that group.
        """
        if not self._link.connected:
            raise ConnectionError("not connected: the message was not sent, and is not kept")
        waiter: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiters[message.id] = waiter
        try:
            await self._database.write(
                self._outbox.enqueue(message, now=self._clock(), expires_at=expires_at)
            )
            self.submit(message)
            done, _ = await asyncio.wait({waiter}, timeout=ECHO_TIMEOUT / 1000)
            return waiter.result() if done else message
        except (ConnectionError, PermissionDeniedError):
            await self._database.write(self._outbox.withdraw(message))
            raise
        finally:
            self._waiters.pop(message.id, None)

    async def post(self, message: Message, *, expires_at: int) -> None:
        """Queue a message durably; it is sent as soon as that is possible."""
        enqueue = self._outbox.enqueue(message, now=self._clock(), expires_at=expires_at)
        if await self._database.write(enqueue):
            self.submit(message)

    def withdraw_all(self, group_id: str) -> None:
        """Take back what has not left yet."""
        outbound = self._outbound.get(group_id)
        while outbound is not None and len(outbound.queue) > (outbound.sent_at is not None):
            message = outbound.queue.pop()
            waiter = self._waiters.get(message.id)
            if waiter is not None and not waiter.done():
                waiter.set_exception(ConnectionError("the message was taken back"))

    def cancel(self, message: Message) -> None:
        """Do not send a message that was given up."""
        outbound = self._outbound.get(message.group_id or "")
        if outbound is not None:
            first = list(outbound.queue)[: outbound.sent_at is not None]
            rest = list(outbound.queue)[len(first) :]
            outbound.queue = deque(first + [queued for queued in rest if queued.id != message.id])

    def submit(self, message: Message) -> None:
        """Send what is in the outbox already."""
        outbound = self._outbound.setdefault(message.group_id or "", _Outbound())
        if all(queued.id != message.id for queued in outbound.queue):
            outbound.queue.append(message)
        self._pump(message.group_id or "")

    async def connected(self) -> None:
        """Take up what was on its way; what may have arrived is looked up first."""
        for kind, group_id in await self._outbox.recipients(("queued", "sending")):
            if kind == "group":
                await self._take_up(group_id)

    async def _take_up(self, group_id: str) -> None:
        outbound = self._outbound.setdefault(group_id, _Outbound())
        known = {message.id for message in outbound.queue}
        for entry in await self._outbox.entries("group", group_id, ("queued", "sending")):
            if entry.message.id in known:
                continue
            if entry.state == "sending" and not outbound.queue:
                outbound.sent_at = entry.sent_at
            outbound.queue.append(entry.message)
        if outbound.sent_at is not None:
            await self._look_up(group_id)
        self._pump(group_id)

    def disconnected(self) -> None:
        """The socket is gone; what was in flight is looked up after the next connection."""
        for outbound in self._outbound.values():
            outbound.stop()

    def in_flight(self, *, images_only: bool = False) -> Refusable | None:
        """The message that the backend has had longest without broadcasting it."""
        flying = [
            Refusable(outbound.sent_at, partial(self._refused, outbound))
            for outbound in self._outbound.values()
            if outbound.sent_at is not None
            and outbound.queue
            and (outbound.queue[0].image is not None or not images_only)
        ]
        return min(flying, key=lambda flight: flight.sent_at, default=None)

    def _refused(self, outbound: _Outbound, error: PermissionDeniedError) -> None:
        message = outbound.queue.popleft()
        outbound.sent_at = None
        outbound.stop()
        waiter = self._waiters.get(message.id)
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        else:
            self._tasks.spawn(self._fail(message, error))
        self._pump(message.group_id or "")

    async def close(self) -> None:
        """Stop; what is in the outbox stays there."""
        self.disconnected()
        await self._tasks.close()

    def _pump(self, group_id: str) -> None:
        outbound = self._outbound[group_id]
        if not self._link.connected or not outbound.queue or outbound.sent_at is not None:
            return
        message, now = outbound.queue[0], self._clock()
        outbound.sent_at = now
        durable = self._database.submit(
            self._outbox.transmitted(message.id, session_id=None, carries_x3dh=False, now=now)
        )
        durable.add_done_callback(partial(self._put_on_socket, message))

    def _put_on_socket(self, message: Message, durable: asyncio.Future[None]) -> None:
        group_id = message.group_id or ""
        outbound = self._outbound[group_id]
        if durable.exception() is not None:
            outbound.sent_at = None
            return
        try:
            self._link.send_nowait("group_message", _frame(message))
        except ConnectionError as error:
            waiter = self._waiters.get(message.id)
            if waiter is not None and not waiter.done():
                outbound.queue.remove(message)
                outbound.sent_at = None
                waiter.set_exception(error)
            return
        self._look_later(group_id, ECHO_TIMEOUT)

    def _look_later(self, group_id: str, delay: int) -> None:
        """Look for the broadcast of what is in flight, in so many ms."""
        self._outbound[group_id].timer = asyncio.get_running_loop().call_later(
            delay / 1000, lambda: self._tasks.spawn(self._overdue(group_id))
        )

    async def _overdue(self, group_id: str) -> None:
        now, sent_at = self._clock(), self._outbound[group_id].sent_at
        due_at = now if sent_at is None else self._echoes.due_at(sent_at, now)
        if due_at > now or self._link.congested:
            self._look_later(group_id, max(due_at - now, ECHO_TIMEOUT))
            return
        await self._look_up(group_id)
        self._pump(group_id)

    # ------------------------------------------------------------ what became of it

    def _settle_broadcast(self, frame: GroupMessageFrame) -> None:
        outbound = self._outbound.get(frame.group_id)
        if outbound is None or outbound.sent_at is None or not outbound.queue:
            return
        message = outbound.queue[0]
        if frame.id == message.id or _same(message, frame.content, frame.image_data):
            self._echoes.came(self._clock(), outbound.sent_at)
            self._settled(outbound, frame.id, frame.timestamp)
            self._pump(frame.group_id)

    def _settled(self, outbound: _Outbound, server_id: str, timestamp: int) -> None:
        message = outbound.queue.popleft()
        outbound.sent_at = None
        outbound.stop()
        sent = replace(message, status="sent", timestamp=timestamp)
        settle = self._outbox.settle(message.id, "delivered")
        advance = self._messages.advance_status(self._me, message.id, "sent")
        known = self._messages.mark_broadcast(message, server_id, self._clock())

        def unit(connection: Any) -> None:
            settle(connection)
            advance(connection)
            known(connection)

        recorded = self._database.submit(unit)
        recorded.add_done_callback(partial(self._recorded, sent))

    def _recorded(self, sent: Message, recorded: asyncio.Future[None]) -> None:
        if recorded.exception() is not None:
            return
        self._observer.status_changed(sent.id, "sent")
        waiter = self._waiters.get(sent.id)
        if waiter is not None and not waiter.done():
            waiter.set_result(sent)

    async def _look_up(self, group_id: str) -> None:
        """Find the message in flight in the group's history, or take it as never arrived."""
        outbound = self._outbound[group_id]
        sent_at = outbound.sent_at
        if sent_at is None or not outbound.queue:
            return
        message = outbound.queue[0]
        try:
            rows = await self._rest.group_history(group_id)
        except (PermissionDeniedError, ValidationError) as error:
            if outbound.sent_at == sent_at:
                self._refused(outbound, PermissionDeniedError(str(error)))  # we are not in it
            return
        except WhatsAppClientError as error:
            logger.warning("the history of group %s cannot be read: %s", group_id, error)
            self._look_later(group_id, ECHO_TIMEOUT)
            return
        candidates = [
            row
            for row in rows
            if row.from_user == self._me
            and row.timestamp >= sent_at - CLOCK_SLACK
            and _same(message, row.content, row.image_data)
        ]
        known = await self._messages.known_broadcasts(message, [r.id for r in candidates])
        if outbound.sent_at != sent_at:
            return  # its broadcast came meanwhile
        fresh = next((row for row in candidates if row.id not in known), None)
        if fresh is None:
            outbound.sent_at = None
        else:
            self._settled(outbound, fresh.id, fresh.timestamp)

    async def _fail(self, message: Message, error: Exception) -> None:
        await self._database.write(self._outbox.settle(message.id, "failed"))
        self._observer.failed(message, error)


def _frame_of(row: GroupHistoryRow, group_id: str) -> GroupMessageFrame:
    return GroupMessageFrame(
        id=row.id,
        group_id=group_id,
        from_user=row.from_user,
        content=row.content,
        timestamp=row.timestamp,
        type=row.type,
        image_data=row.image_data,
        from_username=row.from_username,
    )


def _received(frame: GroupMessageFrame) -> Message:
    image = shown_image(frame.image_data, frame.content)
    return Message(
        id=frame.id,
        from_user=frame.from_user,
        to_user="",
        content=frame.content,
        timestamp=frame.timestamp,
        status="delivered",
        is_encrypted=False,
        type="text" if image is None else "image",
        image=image,
        group_id=frame.group_id,
        from_username=frame.from_username,
    )


def _frame(message: Message) -> GroupSendFrame:
    image = message.image
    return GroupSendFrame(
        group_id=message.group_id or "",
        content=message.content,
        message_type=message.type,
        image_data=None if image is None else to_data_url(image),
        message_id=message.id,
    )


def _same(message: Message, content: str, image_data: str | None) -> bool:
    if message.image is None:
        return content == message.content and not image_data
    return (content or IMAGE_PLACEHOLDER) == message.content and bool(image_data)
