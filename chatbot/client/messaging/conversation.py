"""Conversations in memory: each peer's record and send queue, loaded when first needed."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Final

from chatbot.client.exceptions import StorageError
from chatbot.client.models import Message
from chatbot.client.pictures import to_data_url
from chatbot.client.storage.batch import Unit
from chatbot.client.storage.database import Database
from chatbot.client.storage.outbox_storage import OutboxEntry, OutboxStorage
from chatbot.client.storage.peer_storage import PeerStorage, StoredPeer
from chatbot.wire import IMAGE_PLACEHOLDER, MessageFrame

from .content import encode_plaintext
from .echoes import Echoes
from .send_queue import RESEND_WINDOW, InFlight, Outgoing, SendQueue

logger = logging.getLogger(__name__)


_UNSETTLED: Final = ("queued", "sending", "sent", "delivered")

MAX_CACHED: Final = 2048
"""Conversations kept in memory when nothing is going on in them."""


def _nothing(_: sqlite3.Connection) -> None:
    """Write nothing."""


def _log(error: StorageError) -> None:
    logger.error("a conversation cannot be loaded: %s", error)


class Behind:
    """Whose history has to be read first: everybody's while we are not connected.

    Attributes:
        everyone: whether it is not known yet who is behind.
    """

    __slots__ = ("_peers", "everyone")

    def __init__(self) -> None:
        self.everyone = True
        self._peers: set[str] = set()

    def __contains__(self, peer_id: str) -> bool:
        return self.everyone or peer_id in self._peers

    def add(self, *peer_ids: str) -> None:
        """These are."""
        self._peers.update(peer_ids)

    def discard(self, peer_id: str) -> None:
        """This one has caught up."""
        self._peers.discard(peer_id)


class Conversation:
    """One peer, as the engine sees it.

    Attributes:
        record: its sessions.
        queue: what is to be sent to it.
        identity_state: `pinned`, or `changed` until somebody trusts the new identity.
        pending_identity: the key (32 bytes) that the peer published, and that waits to be accepted.
        refuted_identity: the key (32 bytes) that was claimed last and is not the published one.
        deciding: held by whoever decides about the peer's identity.
        inbound: frames that wait behind a catch-up or a check of the peer's identity.
        exclusive: held by whoever handles its frames and has to wait in the middle of it.
        cleared: how many frames in front of `inbound` had come when the history was last looked
            into: what is missing before them will not be found.
        stuck: whether the frame in front of `inbound` waits for the backend or the storage.
        retired: whether another object has taken this one's place, or will: whoever still holds it
            can do no more harm with it.
        online_at: ms; when the peer was last said to have come online.
        noticed_at: ms; when the last healing notice went out.
        read_at: ms; when its history was read last.
        read_took: how long (ms) that took.
        timer: the next look at echoes that have not come.
    """

    __slots__ = (
        "_behind",
        "_peers",
        "cleared",
        "deciding",
        "exclusive",
        "identity_state",
        "inbound",
        "noticed_at",
        "online_at",
        "peer_id",
        "pending_identity",
        "queue",
        "read_at",
        "read_took",
        "record",
        "refuted_identity",
        "retired",
        "stuck",
        "timer",
    )

    def __init__(
        self,
        stored: StoredPeer,
        peers: PeerStorage,
        behind: Behind,
        *,
        echoes: Echoes,
        use_one_time_prekeys: bool = False,
    ) -> None:
        self._peers = peers
        self._behind = behind
        self.peer_id = stored.record.peer_id
        self.record = stored.record
        self.identity_state = stored.identity_state
        self.queue = SendQueue(
            stored.record, echoes=echoes, use_one_time_prekeys=use_one_time_prekeys
        )
        self.hold(stored.pending_identity)
        self.refuted_identity: bytes | None = None
        self.deciding = asyncio.Lock()
        self.inbound: deque[MessageFrame] = deque()
        self.exclusive = asyncio.Lock()
        self.cleared = 0
        self.stuck = False
        self.retired = False
        self.online_at = 0
        self.noticed_at = 0
        self.read_at = 0
        self.read_took = 0
        self.timer: asyncio.TimerHandle | None = None

    def hold(self, identity_key: bytes | None) -> None:
        """Send nothing until this identity (32 bytes) is accepted; None lets everything go on."""
        self.pending_identity = identity_key
        self.queue.held = identity_key is not None

    @property
    def behind(self) -> bool:
        """Whether the history has to be read before anything live is handled or sent."""
        return self.retired or self.peer_id in self._behind

    @property
    def idle(self) -> bool:
        """Whether it may be dropped from memory without losing anything."""
        busy = self.stuck or self.exclusive.locked() or self.deciding.locked()
        return self.queue.idle and not (self.inbound or busy or self.behind)

    def save(self, now: int) -> Unit[None]:
        """Take what has changed in the record; the unit writes it."""
        if self.retired:
            return _nothing
        return self._peers.save(self.record, self.identity_state, now)


_Waiting = tuple[Callable[[Conversation], None], Callable[[StorageError], None]]


class Conversations:
    """The cache of conversations.

    `when_open` calls back at once for a conversation in memory, and in the order of the calls for
    one that is being loaded, so that nothing overtakes anything.

    Attributes:
        behind: whose history has to be read before anything live is handled or sent.
    """

    def __init__(
        self,
        database: Database,
        peers: PeerStorage,
        outbox: OutboxStorage,
        *,
        echoes: Echoes,
        clock: Callable[[], int],
        use_one_time_prekeys: bool = False,
    ) -> None:
        self._database = database
        self._peers = peers
        self._outbox = outbox
        self._clock = clock
        self._echoes = echoes
        self._use_one_time_prekeys = use_one_time_prekeys
        self.behind = Behind()
        self._open: OrderedDict[str, Conversation] = OrderedDict()
        self._opening: dict[str, list[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Conversation]:
        return iter(list(self._open.values()))

    def cached(self, peer_id: str) -> Conversation | None:
        """The conversation, if it is in memory."""
        return self._open.get(peer_id)

    def when_open(
        self,
        peer_id: str,
        callback: Callable[[Conversation], None],
        on_failure: Callable[[StorageError], None] = _log,
    ) -> None:
        """Call back with the conversation, loading it first if need be."""
        conversation = self._open.get(peer_id)
        if conversation is not None:
            self._open.move_to_end(peer_id)
            callback(conversation)
            return
        if peer_id not in self._opening:
            self._opening[peer_id] = []
            task = asyncio.create_task(self._load(peer_id), name="load conversation")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._opening[peer_id].append((callback, on_failure))

    async def open(self, peer_id: str) -> Conversation:
        """The conversation, loaded if need be.

        Raises:
            StorageError: it cannot be read.
        """
        opened: asyncio.Future[Conversation] = asyncio.get_running_loop().create_future()

        def succeed(conversation: Conversation) -> None:
            if not opened.done():  # whoever asked may have been cancelled
                opened.set_result(conversation)

        def fail(error: StorageError) -> None:
            if not opened.done():
                opened.set_exception(error)

        self.when_open(peer_id, succeed, fail)
        return await opened

    def forget_all(self) -> list[Conversation]:
        """Drop everything in memory, because it is not what the disk has; returns what it was."""
        forgotten = list(self._open.values())
        for conversation in forgotten:
            self._retire(conversation.peer_id)
        return forgotten

    async def close(self) -> None:
        """Stop loading and drop everything."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.forget_all()

    async def _load(self, peer_id: str) -> None:
        try:
            conversation = await self._read(peer_id)
        except StorageError as error:
            for _, on_failure in self._opening.pop(peer_id):
                on_failure(error)
            return
        self._open[peer_id] = conversation
        self._make_room()
        for callback, _ in self._opening.pop(peer_id):
            callback(conversation)

    async def _read(self, peer_id: str) -> Conversation:
        """Read behind everything that is on its way to the disk, for it may be this peer's."""
        load = self._peers.load(peer_id)
        select = self._outbox.select("direct", peer_id, _UNSETTLED)
        stored, entries = await self._database.write(lambda c: (load(c), select(c)))
        conversation = Conversation(
            stored,
            self._peers,
            self.behind,
            echoes=self._echoes,
            use_one_time_prekeys=self._use_one_time_prekeys,
        )
        for entry in entries:
            self._take_up(conversation, entry)
        return conversation

    def _take_up(self, conversation: Conversation, entry: OutboxEntry) -> None:
        """Put a stored message where it was: waiting, un-echoed, or recently sent bare."""
        outgoing = outgoing_of(entry.message)
        if entry.state == "queued":
            conversation.queue.submit(outgoing)
            return
        now = self._clock()
        flight = InFlight(
            outgoing,
            session_id=entry.session_id or "",
            chain=b"",
            sent_at=min(entry.sent_at, now),  # not later: that clock was ahead
            carries_x3dh=entry.carries_x3dh,
            ambiguous=entry.state == "sending",
        )
        if flight.ambiguous or now - flight.sent_at <= RESEND_WINDOW:
            conversation.queue.resume(flight)

    def _make_room(self) -> None:
        if len(self._open) <= MAX_CACHED:
            return
        for peer_id, conversation in self._open.items():
            if conversation.idle:
                self._retire(peer_id)
                return

    def _retire(self, peer_id: str) -> None:
        conversation = self._open.pop(peer_id)
        conversation.retired = True
        if conversation.timer is not None:
            conversation.timer.cancel()


def outgoing_of(message: Message) -> Outgoing:
    """A stored message as the send queue takes it."""
    if message.image is not None and not message.is_encrypted:
        placeholder = IMAGE_PLACEHOLDER.encode()
        return Outgoing(message.id, placeholder, message.type, to_data_url(message.image))
    return Outgoing(message.id, encode_plaintext(message), message.type)
