"""Sending: from the outbox through the ratchet to the socket, and what the echo says of it."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from chatbot.client.background import BackgroundTasks
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.crypto.message import encode_content
from chatbot.client.exceptions import (
    ConnectionError,
    IdentityError,
    PermissionDeniedError,
    SessionNotFoundError,
    WhatsAppClientError,
)
from chatbot.client.models import Message, MessageStatus
from chatbot.client.storage.batch import Unit
from chatbot.client.storage.database import Database
from chatbot.client.storage.message_storage import MessageStorage
from chatbot.client.storage.outbox_storage import OutboxStorage
from chatbot.client.transport.rest_client import RestClient
from chatbot.wire import MessageFrame, SendFrame

from .absent_peers import AbsentPeers
from .conversation import Conversation, Conversations, outgoing_of
from .echoes import ECHO_TIMEOUT
from .identities import Identities, held_back
from .outcomes import Outcomes
from .ports import Link, Observer, Refusable
from .send_queue import FetchBundle, InFlight, LookUp, Transmit

T = TypeVar("T")

RETRY_DELAY: Final = 5.0
"""Seconds until a bundle or a history that could not be fetched is asked for again."""

MAX_OPENINGS: Final = 1000
"""Messages with an `x3dh` of which it is known, in memory, whom they went to."""

logger = logging.getLogger(__name__)


class Sender:
    """Carries out what the conversations' send queues ask for.

    Args:
        me: our own user id.
        clock: ms since the epoch.
        is_online: whether the backend has said that a peer is there.
    """

    def __init__(
        self,
        *,
        me: str,
        key_ring: KeyRing,
        database: Database,
        messages: MessageStorage,
        outbox: OutboxStorage,
        conversations: Conversations,
        identities: Identities,
        rest: RestClient,
        link: Link,
        observer: Observer,
        clock: Callable[[], int],
        is_online: Callable[[str], bool],
    ) -> None:
        self._me = me
        self._key_ring = key_ring
        self._database = database
        self._outbox = outbox
        self._conversations = conversations
        self._identities = identities
        self._rest = rest
        self._link = link
        self._observer = observer
        self._clock = clock
        self._unwanted: set[str] = set()
        self._openings: OrderedDict[str, str] = OrderedDict()
        self._tasks = BackgroundTasks("sending")
        self._outcomes = Outcomes(
            me=me,
            database=database,
            messages=messages,
            outbox=outbox,
            observer=observer,
            clock=clock,
        )
        self._absent = AbsentPeers(
            outbox=outbox,
            conversations=conversations,
            is_online=is_online,
            pump=self.pump,
            clock=clock,
        )

    # ------------------------------------------------------------ asking for it

    def post(
        self, messages: Sequence[Message], *, expires_at: int, also: Unit[T] | None = None
    ) -> asyncio.Future[T | None]:
        """Queue messages durably, in one transaction with `also`; then send them.

        A message whose id is in the outbox already is left as it is: it is the same message.
        """
        now = self._clock()
        enqueue = [self._outbox.enqueue(m, now=now, expires_at=expires_at) for m in messages]

        def unit(connection: Any) -> tuple[list[bool], T | None]:
            fresh = [write(connection) for write in enqueue]
            return fresh, also(connection) if also is not None else None

        result: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        early = [message for message in messages if self._is_at_hand(message)]
        self._database.submit(unit).add_done_callback(
            partial(self._posted, messages, early, result)
        )
        for message in early:
            self.submit(message)
        return result

    def _is_at_hand(self, message: Message) -> bool:
        """Whether a message may be encrypted right behind its unit, to be committed with it.

        One that is on its way already, under the same id, is in the outbox before it.
        """
        conversation = self._conversations.cached(message.to_user)
        if conversation is None or message.id in conversation.queue:
            return False
        return self._link.connected and not conversation.behind

    async def send(self, message: Message, *, expires_at: int) -> Message:
        """Send now and wait for the echo; keep nothing of what never reached the socket.

        Returns:
            The message with the status of its echo, or still `pending` when none came in 5 s.

        Raises:
            ConnectionError: there is no connection.
            SessionNotFoundError: there is no such user, or it has no keys.
            IdentityError: the peer's identity changed, and nobody has accepted that yet.
            PermissionDeniedError: the backend does not let us send images.
        """
        if not self._link.connected:
            raise ConnectionError("not connected: the message was not sent, and is not kept")
        conversation = await self._conversations.open(message.to_user)
        if conversation.queue.held:
            raise held_back(conversation)
        with self._outcomes.awaited(message.id) as status:
            try:
                await self.post([message], expires_at=expires_at)
                done, _ = await asyncio.wait({status}, timeout=ECHO_TIMEOUT / 1000)
                if not done:
                    await self._take_back(message)
                    return message
                return replace(message, status=status.result())
            except (ConnectionError, SessionNotFoundError, IdentityError, PermissionDeniedError):
                await self._database.write(self._outbox.withdraw(message))
                raise

    async def _take_back(self, message: Message) -> None:
        """Nobody waits any longer: a message that never reached the socket is not sent later."""
        conversation = await self._conversations.open(message.to_user)
        if conversation.queue.cancel(message.id):
            if conversation.queue.held:
                raise held_back(conversation)
            raise ConnectionError("the message did not reach the backend in time, and is not kept")

    def _posted(
        self,
        messages: Sequence[Message],
        early: Sequence[Message],
        result: asyncio.Future[T | None],
        written: asyncio.Future[tuple[list[bool], T | None]],
    ) -> None:
        if error := written.exception():
            for message in early:
                self._drop(message)
            if not result.cancelled():
                result.set_exception(error)
            return
        fresh, also = written.result()
        for message, is_fresh in zip(messages, fresh, strict=True):
            if message not in early and is_fresh:
                self.submit(message)
            elif message in early and not is_fresh:
                self._drop(message)
        if not result.cancelled():
            result.set_result(also)

    def _drop(self, message: Message) -> None:
        """Do not send what was handed on early and is not in the outbox after all."""
        conversation = self._conversations.cached(message.to_user)
        if conversation is not None and not conversation.queue.cancel(message.id):
            self._unwanted.add(message.id)  # on its way to the socket right behind

    def submit(self, message: Message) -> None:
        """Send what is in the outbox already."""

        def queue(conversation: Conversation) -> None:
            conversation.queue.submit(outgoing_of(message))
            self.pump(conversation)

        self._conversations.when_open(message.to_user, queue)

    # ------------------------------------------------------------ doing it

    def pump(self, conversation: Conversation) -> None:
        """Do whatever the conversation's send queue asks for now."""
        if not self._link.connected or conversation.behind:
            return
        while action := conversation.queue.next_action(self._clock(), self._key_ring.identity):
            match action:
                case Transmit():
                    self._transmit(conversation, action)
                case FetchBundle():
                    self._tasks.spawn(self._fetch_bundle(conversation))
                case LookUp(ids) if self._link.congested:
                    conversation.queue.look_up_failed(ids, self._clock())
                case LookUp(ids):
                    self._tasks.spawn(self._look_up(conversation, ids))
        self._watch(conversation)

    def _transmit(self, conversation: Conversation, action: Transmit) -> None:
        now, outgoing, message = self._clock(), action.outgoing, action.message
        carries_x3dh = message is not None and message.x3dh is not None
        note = self._outbox.transmitted(
            outgoing.id, session_id=action.session_id or None, carries_x3dh=carries_x3dh, now=now
        )
        save = conversation.save(now)
        if carries_x3dh:
            self._note_opening(outgoing.id, conversation.peer_id)
        frame = SendFrame(
            to=conversation.peer_id,
            content=outgoing.plaintext.decode() if message is None else encode_content(message),
            message_type=outgoing.message_type,
            encrypted=message is not None,
            message_id=outgoing.id,
            image_data=outgoing.image_data,
        )

        def unit(connection: Any) -> None:
            save(connection)
            note(connection)

        durable = self._database.submit(unit)
        durable.add_done_callback(partial(self._put_on_socket, conversation, frame))

    def _put_on_socket(
        self, conversation: Conversation, frame: SendFrame, durable: asyncio.Future[None]
    ) -> None:
        message_id = str(frame.message_id)
        unwanted = message_id in self._unwanted
        self._unwanted.discard(message_id)
        if durable.exception() is not None:
            return  # the database's failure listener starts the conversation anew
        if unwanted:
            conversation.queue.withdraw(message_id, self._clock())
            return
        try:
            self._link.send_nowait("message", frame)
        except ConnectionError as error:
            conversation.queue.disconnected()
            self._give_up(message_id, error, conversation)

    async def _fetch_bundle(self, conversation: Conversation) -> None:
        queue = conversation.queue
        try:
            bundle = await self._identities.bundle(conversation)
        except SessionNotFoundError as error:
            queue.bundle_failed()
            self._fail(conversation, error)
        except WhatsAppClientError as error:
            logger.warning("the keys of %s cannot be fetched: %s", conversation.peer_id, error)
            if queue.held:
                self._tell_waiters(conversation, error)
            else:
                await asyncio.sleep(RETRY_DELAY)
            queue.bundle_failed()
        else:
            queue.bundle_fetched(bundle, self._clock())
        self.pump(conversation)

    def _fail(self, conversation: Conversation, error: SessionNotFoundError) -> None:
        """Nobody is there to send to: say so to whoever asked, and keep the rows for the report."""
        for outgoing in conversation.queue.recall():
            self._outcomes.failed(outgoing.id, error)

    def _tell_waiters(self, conversation: Conversation, error: WhatsAppClientError) -> None:
        """What is held goes on waiting, but for what somebody waits for: that is not kept."""
        for message_id in conversation.queue.waiting():
            if self._outcomes.tell(message_id, error):
                conversation.queue.cancel(message_id)

    def withdraw_all(self, conversation: Conversation) -> None:
        """Take back what has not left yet."""
        for outgoing in conversation.queue.recall():
            self._outcomes.tell(outgoing.id, ConnectionError("the message was taken back"))

    def image_in_flight(self) -> Refusable | None:
        """The picture that the backend has had longest without echoing it."""
        flying = [
            Refusable(flight.sent_at, partial(self._refused, conversation, flight.outgoing.id))
            for conversation in self._conversations
            if (flight := conversation.queue.image_in_flight()) is not None
        ]
        return min(flying, key=lambda flight: flight.sent_at, default=None)

    def _refused(
        self, conversation: Conversation, message_id: str, error: PermissionDeniedError
    ) -> None:
        conversation.queue.withdraw(message_id, self._clock())
        self._outcomes.failed(message_id, error)
        self.pump(conversation)

    def _give_up(self, message_id: str, error: ConnectionError, conversation: Conversation) -> None:
        if self._outcomes.tell(message_id, error):
            conversation.queue.withdraw(message_id, self._clock())

    # ------------------------------------------------------------ what became of it

    def echoed(self, frame: MessageFrame) -> None:
        """The backend returned one of our own messages with its status."""
        conversation = self._conversations.cached(frame.to)
        if conversation is not None:
            delivered = frame.status != "sent"
            flight = conversation.queue.echoed(frame.id, self._clock(), delivered=delivered)
            self._settle(conversation, flight, delivered=delivered)

    def _settle(
        self, conversation: Conversation, flight: InFlight | None, *, delivered: bool
    ) -> None:
        if flight is None:
            return  # nobody waits for it: it was settled before, or is not ours at all
        self._outcomes.echoed(conversation, flight.outgoing.id, delivered=delivered)
        if not delivered:
            self._absent.missed(conversation, flight.sent_at)
        self.pump(conversation)

    def _note_opening(self, message_id: str, peer_id: str) -> None:
        self._openings[message_id] = peer_id
        if len(self._openings) > MAX_OPENINGS:
            self._openings.popitem(last=False)

    def advance(self, message_id: str, status: MessageStatus) -> None:
        """The peer says how far one of our messages got."""
        if status == "delivered" and (peer_id := self._openings.pop(message_id, None)):
            conversation = self._conversations.cached(peer_id)
            if conversation is not None:
                conversation.record.x3dh_received(message_id)
        self._outcomes.advance(message_id, status)

    async def _look_up(self, conversation: Conversation, ids: tuple[str, ...]) -> None:
        """4.2.7: a missing echo is ambiguous until the history has been asked."""
        wanted, found = set(ids), dict[str, str]()
        try:
            async for row in self._rest.iter_history(conversation.peer_id):
                if row.id in wanted and row.from_user == self._me:
                    found[row.id] = row.status or "sent"
        except WhatsAppClientError as error:
            logger.warning("the history cannot be read: %s", error)
            conversation.queue.look_up_failed(ids, self._clock())
        else:
            for message_id, status in found.items():
                delivered = status != "sent"
                flight = conversation.queue.found(message_id, self._clock(), delivered=delivered)
                self._settle(conversation, flight, delivered=delivered)
            conversation.queue.missing((i for i in ids if i not in found), self._clock())
        self.pump(conversation)

    # ------------------------------------------------------------ comings and goings

    async def connected(self) -> None:
        """Take up everything that was on its way when the last connection ended."""
        for kind, peer_id in await self._outbox.recipients(("queued", "sending")):
            if kind == "direct":
                self._conversations.when_open(peer_id, self.pump)
        await self._absent.connected()

    def disconnected(self) -> None:
        """The socket is gone: what it took and nobody echoed is ambiguous now."""
        for conversation in self._conversations:
            conversation.queue.disconnected()

    def peer_online(self, peer_id: str) -> None:
        """4.2.8: what waits for a peer that was offline goes out again, under fresh keys."""
        self._absent.returned(peer_id)

    async def give_up_old(self) -> list[Message]:
        """Give up what has waited too long, and say so; returns it."""
        expired = await self._database.write(self._outbox.expire(self._clock()))
        for message in expired:
            conversation = self._conversations.cached(message.to_user)
            if conversation is not None:
                conversation.queue.cancel(message.id)
            self._observer.failed(message, ConnectionError("it could not be delivered in time"))
        return expired

    # ------------------------------------------------------------ upkeep

    async def close(self) -> None:
        """Stop; whatever is in the outbox stays there."""
        await self._tasks.close()
        await self._absent.close()
        await self._outcomes.close()

    def _watch(self, conversation: Conversation) -> None:
        """Look again when an echo is overdue."""
        wake_at = conversation.queue.wake_at()
        if wake_at is None or conversation.timer is not None:
            return
        delay = max(0, wake_at - self._clock()) / 1000
        conversation.timer = asyncio.get_running_loop().call_later(
            delay, self._timer_fired, conversation
        )

    def _timer_fired(self, conversation: Conversation) -> None:
        conversation.timer = None
        self.pump(conversation)
