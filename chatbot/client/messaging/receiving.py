"""Receiving: from the frame through the ratchet to the inbox.

A frame is decrypted at once where its conversation is in memory and nothing is going on in it, and
waits in `Conversation.inbound` otherwise: behind a catch-up, which it asks for where messages
before it are missing, or while a new identity is looked up.
Session, message and seen mark are one transaction; only then is the message handed on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Literal

from chatbot.client.background import BackgroundTasks
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.crypto.message import decode_content, is_encrypted
from chatbot.client.crypto.terms import (
    BudgetExhaustedError,
    GapError,
    IdentityUnknownError,
    Received,
    Terms,
)
from chatbot.client.exceptions import (
    ConnectionError,
    DecryptionError,
    SessionNotFoundError,
    StorageError,
    WhatsAppClientError,
)
from chatbot.client.models import Image, Message
from chatbot.client.storage.database import Database
from chatbot.client.storage.message_storage import DELIVERED, REPORTED, InboxEntry, MessageStorage
from chatbot.wire import IMAGE_PLACEHOLDER, MessageFrame, StatusFrame

from .agenda import Agenda
from .content import decode_image, decode_text, shown_image
from .conversation import Conversation, Conversations
from .identities import Identities
from .ports import Link, Observer
from .sending import Sender

MAX_INBOUND: Final = 1000
"""Frames of one conversation that wait in memory; the rest is left to its history."""

MAX_WAITING_SIZE: Final = 32 * 1024 * 1024
"""Characters in all frames that wait."""

logger = logging.getLogger(__name__)


class Receiver:
    """Takes message frames, live or from a history, to the inbox.

    Attributes:
        undecryptable: how many messages could not be decrypted, by reason.
    """

    def __init__(
        self,
        *,
        me: str,
        key_ring: KeyRing,
        database: Database,
        messages: MessageStorage,
        conversations: Conversations,
        agenda: Agenda,
        identities: Identities,
        sender: Sender,
        link: Link,
        observer: Observer,
        clock: Callable[[], int],
        on_session_opened: Callable[[int | None], None],
        heal: Callable[[Conversation], None],
    ) -> None:
        self._me = me
        self._key_ring = key_ring
        self._database = database
        self._messages = messages
        self._conversations = conversations
        self._identities = identities
        self._sender = sender
        self._link = link
        self._observer = observer
        self._clock = clock
        self._agenda = agenda
        self._waiting_size = 0
        self._on_session_opened = on_session_opened
        self._heal = heal
        self._tasks = BackgroundTasks("receiving")
        self.undecryptable: Counter[str] = Counter()

    # ------------------------------------------------------------ live frames

    def accept(self, frame: MessageFrame) -> None:
        """Take a frame from the socket; called by the reader, so it never waits."""
        if self._waiting_size + _size(frame) > MAX_WAITING_SIZE:
            self._agenda.due(frame.from_)
            return
        self._waiting_size += _size(frame)
        self._conversations.when_open(
            frame.from_, partial(self._arrive, frame), partial(self._leave, frame)
        )

    def _arrive(self, frame: MessageFrame, conversation: Conversation) -> None:
        if len(conversation.inbound) >= MAX_INBOUND:
            self._leave(frame)
            return
        conversation.inbound.append(frame)
        self.drain(conversation)

    def _leave(self, frame: MessageFrame, error: StorageError | None = None) -> None:
        """Leave a frame to its history."""
        if error is not None:
            logger.error("the conversation with %s cannot be loaded: %s", frame.from_, error)
        self._waiting_size -= _size(frame)
        self._agenda.due(frame.from_)

    def forget(self, conversations: Iterable[Conversation]) -> None:
        """Leave to their histories what waits in conversations that are forgotten."""
        for conversation in conversations:
            while conversation.inbound:
                self._take_front(conversation)

    def _take_front(self, conversation: Conversation) -> MessageFrame:
        frame = conversation.inbound.popleft()
        self._waiting_size -= _size(frame)
        return frame

    def _put_back(self, conversation: Conversation, frame: MessageFrame) -> None:
        """Have a frame wait in front until the history was looked into."""
        conversation.inbound.appendleft(frame)
        self._waiting_size += _size(frame)
        self._agenda.gap(conversation.peer_id)

    def drain(self, conversation: Conversation) -> None:
        """Handle what waits in a conversation, as far as that needs no waiting."""
        while conversation.inbound and not (conversation.behind or conversation.stuck):
            if conversation.exclusive.locked():
                return
            try:
                self._decrypt_and_store(conversation, conversation.inbound[0])
            except GapError:
                self._agenda.gap(conversation.peer_id)
                return
            except DecryptionError as error:
                conversation.stuck = True
                self._tasks.spawn(self._receive_slowly(conversation, error))
            else:
                self._take_front(conversation)
                conversation.cleared = max(0, conversation.cleared - 1)

    async def _receive_slowly(self, conversation: Conversation, error: DecryptionError) -> None:
        """Handle the frame in front, which needs the backend or the storage; then go on."""
        undisturbed = not conversation.exclusive.locked()  # so that the error still stands
        try:
            async with conversation.exclusive:
                if not conversation.inbound:
                    return  # forgotten meanwhile
                frame = self._take_front(conversation)
                if undisturbed:
                    handled = await self._cope(conversation, frame, error)
                else:
                    handled = await self.receive(conversation, frame)
                conversation.cleared = max(0, conversation.cleared - 1)
                if not handled and conversation.pending_identity is None:
                    self._agenda.due(conversation.peer_id)
        finally:
            conversation.stuck = False
            self.drain(conversation)

    # ------------------------------------------------------------ one frame

    async def receive(
        self,
        conversation: Conversation,
        frame: MessageFrame,
        *,
        live: bool = True,
        again: bool = False,
    ) -> bool:
        """Handle one frame, whatever it takes. Never raises for what the frame holds.

        Args:
            conversation: the sender's; its `exclusive` is held.
            frame: what came.
            live: whether it came now, and not out of a history that may be read again and again.
            again: whether it was reported as undecryptable before.

        Returns:
            False if it is left to its history, to be handled later.

        Raises:
            WhatsAppClientError: it is not live, and its sender's identity cannot be looked up now.
        """
        if conversation.retired:
            return False
        try:
            self._decrypt_and_store(conversation, frame, live=live, again=again)
        except BudgetExhaustedError:
            return again  # nothing is owed to one that was reported
        except DecryptionError as error:
            return await self._cope(conversation, frame, error, live=live)
        return True

    async def _cope(
        self,
        conversation: Conversation,
        frame: MessageFrame,
        error: DecryptionError,
        *,
        live: bool = True,
    ) -> bool:
        """Do what follows from a frame that was not decrypted; as `receive` from there on."""
        match error:
            case IdentityUnknownError():
                return await self._receive_from_stranger(conversation, frame, error, live=live)
            case GapError():
                self._put_back(conversation, frame)
            case BudgetExhaustedError():
                return False
            case _:
                await self._report(conversation, frame, error, live=live)
        return True

    def _decrypt_and_store(
        self,
        conversation: Conversation,
        frame: MessageFrame,
        *,
        live: bool = True,
        again: bool = False,
    ) -> None:
        """Handle one frame that needs no waiting.

        Raises:
            DecryptionError: it does, or is undecryptable; nothing but the budget has changed.
        """
        if not is_encrypted(frame.content, frame.encrypted):
            self._store(conversation, self._plain_message(frame), None)
            return
        now = self._clock()
        looked = not live or conversation.cleared > 0
        received = conversation.record.receive(
            decode_content(frame.content),
            self._key_ring,
            now,
            Terms(gaps=looked, again=again),
        )
        try:
            message = self._decrypted_message(frame, received)
        except DecryptionError as error:  # genuine, though no message: the session has moved
            self._save_report(conversation, frame, error)
        else:
            self._store(conversation, message, received)
        if received.opened:
            conversation.queue.peer_started_afresh(now, received.session_id)
        self._sender.pump(conversation)

    async def _receive_from_stranger(
        self,
        conversation: Conversation,
        frame: MessageFrame,
        unknown: IdentityUnknownError,
        *,
        live: bool,
    ) -> bool:
        try:
            believed = await self._identities.resolve(conversation, unknown.identity_key)
        except SessionNotFoundError:
            believed = False
        except WhatsAppClientError as error:
            if not live:
                raise  # so that nothing of its history overtakes it
            logger.warning("a message waits: its sender's identity is not settled: %s", error)
            return False
        if believed:
            return await self.receive(conversation, frame, live=live)
        conversation.record.charge_rejected_identity(self._clock())
        await self._report(conversation, frame, unknown, live=live)
        return True

    async def _report(
        self,
        conversation: Conversation,
        frame: MessageFrame,
        error: DecryptionError,
        *,
        live: bool,
    ) -> None:
        """4.1.8, 4.2.9: an undecryptable message becomes an event, and is healed at once.

        Whether it is only a duplicate is asked behind all that is on its way to the disk.
        """
        state = await asyncio.shield(self._save_report(conversation, frame, error))
        if state == DELIVERED or (state == REPORTED and not live):
            return
        conversation.record.unconfirm()
        conversation.queue.peer_started_afresh(self._clock())
        if not isinstance(error, IdentityUnknownError):  # its keys were just looked at
            conversation.queue.drop_bundle()
        await self._database.write(conversation.save(self._clock()))
        self._heal(conversation)
        if live:
            self._agenda.missed(conversation.peer_id)
        self._sender.pump(conversation)

    def _save_report(
        self, conversation: Conversation, frame: MessageFrame, error: DecryptionError
    ) -> asyncio.Future[int | None]:
        """Make durable what an unreadable message changed; tell of it once it is."""
        now = self._clock()
        save = conversation.save(now)
        report = self._messages.report(frame.from_, frame.id, now)

        def unit(connection: Any) -> int | None:
            save(connection)
            return report(connection)

        durable = self._database.submit(unit)
        durable.add_done_callback(partial(self._reported, frame.from_, error.reason))
        return durable

    def _reported(self, peer_id: str, reason: str, durable: asyncio.Future[int | None]) -> None:
        if durable.exception() is None and durable.result() is None:
            self.undecryptable[reason] += 1
            self._observer.undecryptable(peer_id, reason)

    # ------------------------------------------------------------ what it becomes

    def _plain_message(self, frame: MessageFrame) -> Message:
        image = shown_image(frame.image_data, frame.content)
        return self._message(frame, frame.content, image, encrypted=False)

    def _decrypted_message(self, frame: MessageFrame, received: Received) -> Message:
        if frame.type == "image" and frame.image_data is None:
            image = decode_image(received.plaintext)
            content = image.caption or IMAGE_PLACEHOLDER
            return self._message(frame, content, image, encrypted=True)
        return self._message(frame, decode_text(received.plaintext), None, encrypted=True)

    def _message(
        self, frame: MessageFrame, content: str, image: Image | None, *, encrypted: bool
    ) -> Message:
        kind: Literal["text", "image"] = "text" if image is None else "image"
        return Message(
            id=frame.id,
            from_user=frame.from_,
            to_user=self._me,
            content=content,
            timestamp=frame.timestamp,
            status="delivered",
            is_encrypted=encrypted,
            type=kind,
            image=image,
        )

    def _store(
        self, conversation: Conversation, message: Message, received: Received | None
    ) -> None:
        now = self._clock()
        save = conversation.save(now)
        receive = self._messages.receive(message, conversation.peer_id, now)

        def unit(connection: Any) -> int | None:
            save(connection)
            return receive(connection)

        durable = self._database.submit(unit)
        durable.add_done_callback(partial(self._stored, message, received))

    def _stored(
        self, message: Message, received: Received | None, durable: asyncio.Future[int | None]
    ) -> None:
        if (error := durable.exception()) is not None:
            logger.error("a message could not be stored, and is left to its history: %s", error)
            self._agenda.due(message.from_user)
            return
        if received is not None and received.opened:
            self._on_session_opened(received.used_one_time_prekey)
        seq = durable.result()
        if seq is None:
            return
        self._confirm_delivery(message)
        self._observer.arrived(InboxEntry(seq, message.from_user, "direct", message))

    def _confirm_delivery(self, message: Message) -> None:
        """4.2.10: tells our own kind of client; the backend keeps no record of it."""
        frame = StatusFrame(to=message.from_user, message_id=message.id, status="delivered")
        try:
            self._link.send_nowait("status", frame)
        except ConnectionError:
            logger.debug("the connection was gone before the delivery could be confirmed")

    # ------------------------------------------------------------ upkeep

    async def close(self) -> None:
        """Stop; frames that were not handled are left to their history."""
        await self._tasks.close()


def _size(frame: MessageFrame) -> int:
    return len(frame.content) + len(frame.image_data or "")
