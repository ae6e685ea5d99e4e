"""Peers that were offline: what waits for them goes out again when they return (4.2.8)."""

from __future__ import annotations

from collections.abc import Callable

from chatbot.client.background import BackgroundTasks
from chatbot.client.storage.outbox_storage import OutboxStorage

from .conversation import Conversation, Conversations, outgoing_of


class AbsentPeers:
    """Those for whom something waits that the backend has, and has not delivered.

    Args:
        is_online: whether the backend has said that a peer is there.
        pump: sends what is in a conversation's queue.
        clock: ms since the epoch.
    """

    def __init__(
        self,
        *,
        outbox: OutboxStorage,
        conversations: Conversations,
        is_online: Callable[[str], bool],
        pump: Callable[[Conversation], None],
        clock: Callable[[], int],
    ) -> None:
        self._outbox = outbox
        self._conversations = conversations
        self._is_online = is_online
        self._pump = pump
        self._clock = clock
        self._peers: set[str] = set()
        self._tasks = BackgroundTasks("sending again")

    def missed(self, conversation: Conversation, sent_at: int) -> None:
        """Something sent at that time (ms) was not delivered."""
        self._peers.add(conversation.peer_id)
        conversation.queue.peer_left()
        if conversation.online_at > sent_at:
            self._send_again(conversation.peer_id)

    async def connected(self) -> None:
        """Find out whose messages wait; some came while nobody here knew that something does."""
        waiting = await self._outbox.recipients(("sent",))
        peers = [peer_id for kind, peer_id in waiting if kind == "direct"]
        self._peers.update(peers)
        for peer_id in filter(self._is_online, peers):
            self._send_again(peer_id)

    def returned(self, peer_id: str) -> None:
        """A peer is there: it gets what waits, under keys fetched since."""
        conversation = self._conversations.cached(peer_id)
        if conversation is not None:
            conversation.online_at = self._clock()
            conversation.refuted_identity = None
            conversation.queue.drop_bundle()
        if peer_id in self._peers:
            self._send_again(peer_id)

    def _send_again(self, peer_id: str) -> None:
        self._peers.discard(peer_id)
        self._tasks.spawn(self._requeue(peer_id))

    async def _requeue(self, peer_id: str) -> None:
        entries = await self._outbox.entries("direct", peer_id, ("sent",))
        conversation = await self._conversations.open(peer_id)
        now = self._clock()
        for entry in entries:
            if entry.expires_at > now:
                outgoing = outgoing_of(entry.message)
                outgoing.opens_session = outgoing.awaited_peer = True
                conversation.queue.submit(outgoing)
        self._pump(conversation)

    async def close(self) -> None:
        """Stop; whatever is in the outbox stays there."""
        await self._tasks.close()
