"""One account's messaging: the parts of the engine, put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from chatbot import wire
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.crypto.session import Session
from chatbot.client.crypto.session_manager import SESSION_TIMEOUT
from chatbot.client.crypto.vault import Vault
from chatbot.client.exceptions import SessionNotFoundError, StorageError, ValidationError
from chatbot.client.models import Message
from chatbot.client.storage.database import Database
from chatbot.client.storage.message_storage import MessageStorage
from chatbot.client.storage.outbox_storage import OutboxStorage
from chatbot.client.storage.peer_storage import PeerStorage
from chatbot.client.storage.watermark_storage import WatermarkStorage
from chatbot.client.transport.rest_client import RestClient

from .agenda import Agenda
from .catching_up import SWEEP_AFTER, CatchUp
from .composing import Composer
from .conversation import Conversation, Conversations
from .echoes import Echoes
from .group_messages import GroupMessages
from .identities import ASK_TIMEOUT, Identities, IdentityPolicy
from .incoming import IncomingFrames
from .message_ids import MessageIds
from .ports import Link, Observer
from .presence import OwnTyping, Presence
from .receiving import Receiver
from .sending import Sender

NOTICE_INTERVAL: Final = 60_000
"""At most one healing notice per peer in that time (ms), PROTOCOL.md 4.2.9."""

HEAL_NOTICE: Final = "⚠️ Your last message could not be decrypted. Please send it again."

DAY: Final = 86_400_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingOptions:
    """What a user may decide about messaging.

    Attributes:
        heal_notice: what a peer is told whose message could not be decrypted; None for silence,
            which leaves healing to our next message.
        identity_policy: what happens when a peer's identity changes.
        ask_timeout: seconds that the policy `ask` waits for an answer; none means no.
        use_one_time_prekeys: whether DH4 takes part in the sessions we open.
        session_timeout: age (ms) at which an unused session is not sent in any more.
        history_age: how old (ms) a missed message may be and still be handled.
        outbox_age: how long (ms) a message waits for a peer that is offline.
    """

    heal_notice: str | None = HEAL_NOTICE
    identity_policy: IdentityPolicy = "tofu"
    ask_timeout: float = ASK_TIMEOUT
    use_one_time_prekeys: bool = False
    session_timeout: int = SESSION_TIMEOUT
    history_age: int = 30 * DAY
    outbox_age: int = 7 * DAY


class Messenger:
    """Everything between the socket and the storage.

    Attributes:
        database: messages.db; also for what a bot keeps beside the messages.
        vault: seals what goes into it.
        messages, outbox, conversations, agenda, sender, receiver, groups, catch_up, identities,
            presence: the parts, each for its own purpose.
        ids: makes the ids of our messages.
        compose: makes the messages.
    """

    def __init__(
        self,
        *,
        me: str,
        key_ring: KeyRing,
        epoch: int,
        database: Database,
        vault: Vault,
        rest: RestClient,
        link: Link,
        observer: Observer,
        clock: Callable[[], int],
        options: MessagingOptions,
        on_session_opened: Callable[[int | None], None],
        on_rollback: Callable[[int], None],
    ) -> None:
        self.me = me
        self.database = database
        self.vault = vault
        self.options = options
        self._link = link
        self._observer = observer
        self._clock = clock
        self._lost_at = 0
        self._key_ring = key_ring
        self.ids = MessageIds(vault.derive("message ids"))
        self.messages = MessageStorage(database, vault)
        self.outbox = OutboxStorage(database, self.messages, me=me)
        self.watermarks = WatermarkStorage(database)
        self.peers = PeerStorage(database, vault, session_timeout=options.session_timeout)
        self.presence = Presence(observer.presence)
        self._own_typing = OwnTyping(link)
        echoes = Echoes()
        self.conversations = Conversations(
            database,
            self.peers,
            self.outbox,
            echoes=echoes,
            clock=clock,
            use_one_time_prekeys=options.use_one_time_prekeys,
        )
        self.agenda = Agenda(self.conversations, clock=clock)
        self.compose = Composer(me=me, ids=self.ids, conversations=self.conversations, clock=clock)
        self.identities = Identities(
            rest,
            observer,
            policy=options.identity_policy,
            ask_timeout=options.ask_timeout,
            save=self._save_identity,
        )
        self.sender = Sender(
            me=me,
            key_ring=key_ring,
            database=database,
            messages=self.messages,
            outbox=self.outbox,
            conversations=self.conversations,
            identities=self.identities,
            rest=rest,
            link=link,
            observer=observer,
            clock=clock,
            is_online=self.presence.is_online,
        )
        self.receiver = Receiver(
            me=me,
            key_ring=key_ring,
            database=database,
            messages=self.messages,
            conversations=self.conversations,
            agenda=self.agenda,
            identities=self.identities,
            sender=self.sender,
            link=link,
            observer=observer,
            clock=clock,
            on_session_opened=on_session_opened,
            heal=self._heal,
        )
        self.groups = GroupMessages(
            me=me,
            database=database,
            messages=self.messages,
            outbox=self.outbox,
            rest=rest,
            link=link,
            observer=observer,
            echoes=echoes,
            clock=clock,
            on_behind=self._group_behind,
        )
        self.catch_up = CatchUp(
            me=me,
            epoch=epoch,
            max_age=options.history_age,
            agenda=self.agenda,
            database=database,
            watermarks=self.watermarks,
            rest=rest,
            conversations=self.conversations,
            receiver=self.receiver,
            sender=self.sender,
            groups=self.groups,
            ids=self.ids,
            clock=clock,
            on_rollback=on_rollback,
        )
        self._incoming = IncomingFrames(
            me=me,
            sender=self.sender,
            receiver=self.receiver,
            catch_up=self.catch_up,
            groups=self.groups,
            presence=self.presence,
            observer=observer,
        )
        database.on_failure.append(self._storage_failed)

    # ------------------------------------------------------------ the connection

    def connected(self) -> None:
        """The socket is up and hears: read what was missed, go on with what was on its way."""
        sweep = not self._lost_at or self._clock() - self._lost_at > SWEEP_AFTER
        self.catch_up.connected(sweep=sweep)

    def disconnected(self, silence: int = 0) -> None:
        """The socket is gone, and how long before (ms) it may have heard nothing any more."""
        self._lost_at = self._clock() - silence
        self.catch_up.stop()
        self.sender.disconnected()
        self.groups.disconnected()
        self.presence.clear()
        self._incoming.disconnected()
        self._own_typing.clear()

    def begin_epoch(self, epoch: int) -> None:
        """No session goes on: what was loaded with one is forgotten, and what is older (ms) too."""
        self.catch_up.epoch = epoch
        self.receiver.forget(self.conversations.forget_all())

    async def close(self) -> None:
        """Stop everything; what is not finished is on the disk and goes on next time."""
        self.database.on_failure.remove(self._storage_failed)
        await self.catch_up.close()
        await self.receiver.close()
        await self.sender.close()
        await self.groups.close()
        await self.conversations.close()
        self._incoming.disconnected()
        self._own_typing.clear()

    def on_frame(self, frame: wire.Frame) -> None:
        """Take one frame from the socket; a malformed payload is dropped."""
        self._incoming.on_frame(frame)

    # ------------------------------------------------------------ what the parts report

    def _group_behind(self, group_id: str) -> None:
        if self._link.connected:
            self.catch_up.group_missed(group_id)

    def _heal(self, conversation: Conversation) -> None:
        """4.2.9: answer an undecryptable message at once, with an `x3dh` under fresh keys."""
        now = self._clock()
        if 0 <= now - conversation.noticed_at < NOTICE_INTERVAL:
            return
        conversation.noticed_at = now
        if self.options.heal_notice is None:
            return
        notice = self.compose.text(conversation.peer_id, self.options.heal_notice)
        posted = self.sender.post([notice], expires_at=now + NOTICE_INTERVAL)
        posted.add_done_callback(lambda done: done.exception())

    def now(self) -> int:
        """The time, in ms since the epoch."""
        return self._clock()

    async def establish(self, peer_id: str) -> Session:
        """Open a session without sending anything; the peer hears of it with no message.

        Raises:
            SessionNotFoundError: there is no such user, or it has published no keys.
        """
        async with self._undisturbed(peer_id) as conversation:
            bundle = await self.identities.bundle(conversation)
            session, _ = conversation.record.establish(
                self._key_ring.identity, bundle, self._clock()
            )
            await self.database.write(conversation.save(self._clock()))
            return session

    async def adopt(self, peer_id: str, session: Session) -> None:
        """Go on in a session that was led elsewhere until now.

        Raises:
            ValidationError: it is with an identity that the peer no longer has, or known already.
            SessionNotFoundError: there is no such user, or it has published no keys.
            IdentityError: the peer's identity changed and is not accepted.
        """
        async with self._undisturbed(peer_id) as conversation:
            bundle = await self.identities.bundle(conversation)
            if session.remote_identity_key != bundle.identity_key:
                raise ValidationError(f"{peer_id} has another identity than in this session")
            if session.id in conversation.record.sessions:
                raise ValidationError("this session was imported before; it must not go back")
            conversation.record.adopt(session, self._clock())
            await self.database.write(conversation.save(self._clock()))

    @asynccontextmanager
    async def _undisturbed(self, peer_id: str) -> AsyncIterator[Conversation]:
        """A conversation in which nothing else is handled meanwhile."""
        conversation = await self.conversations.open(peer_id)
        try:
            async with conversation.exclusive:
                yield conversation
        finally:
            self.receiver.drain(conversation)

    def text(self, to: str, content: str, *, message_id: str | None = None) -> Message:
        """A text message of ours to one peer, ready to be sent."""
        return self.compose.text(to, content, message_id=message_id)

    def _save_identity(self, conversation: Conversation, *, replaced: bool) -> asyncio.Future[None]:
        """Make durable what was decided; what was verified was the old key."""
        peer_id, state = conversation.peer_id, conversation.identity_state
        save = conversation.save(self._clock())
        settle = self.peers.settle_identity(peer_id, state, conversation.pending_identity)
        unverify = self.peers.unverify(peer_id)

        def unit(connection: Any) -> None:
            save(connection)
            settle(connection)
            if replaced:
                unverify(connection)

        saved = self.database.submit(unit)
        saved.add_done_callback(lambda done: done.exception())
        return saved

    async def accept_identity(self, conversation: Conversation, identity_key: bytes) -> None:
        """Accept an identity (32 bytes) that is held back, and go on with what waited for it.

        Raises:
            IdentityError: it is not the one that is held back now.
        """
        await self.identities.accept(conversation, identity_key)
        self.agenda.due(conversation.peer_id)
        self.sender.pump(conversation)

    async def pin(self, conversation: Conversation) -> bytes:
        """The peer's identity key (32 bytes); the published one is pinned where none is yet.

        Raises:
            SessionNotFoundError: there is no such user, or it has published no keys.
            ConnectionError: the backend cannot be reached.
        """
        if conversation.record.identity_key is None:
            await self.identities.bundle(conversation)
            await self._save_identity(conversation, replaced=False)
        if conversation.record.identity_key is None:
            raise SessionNotFoundError(f"{conversation.peer_id} has published no keys")
        return conversation.record.identity_key

    def _storage_failed(self, error: StorageError) -> None:
        """Memory is ahead of the disk: forget it, and read again what was lost with it."""
        logger.error("the storage failed: %s", error)
        self.receiver.forget(self.conversations.forget_all())
        if self._link.connected:
            self.catch_up.recover()

    async def withdraw_all(self, conversation_id: str) -> None:
        """Take back what has not left yet in a conversation: of a peer, or of a group."""
        self.groups.withdraw_all(conversation_id)
        self.sender.withdraw_all(await self.conversations.open(conversation_id))

    def typing(self, to: str, *, typing: bool, group_id: str | None = None) -> None:
        """Tell a peer or a group that we are typing, or have stopped; after 5 s we have anyway.

        Raises:
            ConnectionError: not connected.
        """
        self._own_typing.tell(to, typing=typing, group_id=group_id)
