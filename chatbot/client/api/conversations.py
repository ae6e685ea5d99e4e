"""Conversations: reading them, what is unread in them, searching and deleting (FR-MSG-06, 07)."""

from __future__ import annotations

from collections.abc import Sequence

from chatbot.client.exceptions import ValidationError
from chatbot.client.models import ConversationSummary, Message
from chatbot.wire import STATUS_BATCH, ReadFrame

from .base import Api


class ConversationsApi(Api):
    """What was said. A conversation is named by a user id, an exact username or a group's id."""

    async def get_messages(
        self,
        peer_id: str,
        limit: int = 50,
        before: int | None = None,
        offset: int = 0,
        sync: bool = False,
    ) -> list[Message]:
        """The newest messages with a peer, oldest first, from the local storage.

        Args:
            peer_id: a user id, or else an exact username; for a group its id.
            limit: how many at most.
            before: only messages older than this (ms).
            offset: how many of the newest to leave out.
            sync: read the backend's history first, for what is missing here. What was missed is
                handed on as ever; older messages are only stored, as far as they are in clear:
                encrypted ones cannot be read any more.

        Raises:
            ValidationError: a negative limit or offset; or with `sync`, there is no such user.
            ConnectionError: with `sync`, the backend cannot be reached.
        """
        if limit < 0 or offset < 0:
            raise ValidationError("limit and offset cannot be negative")
        account = self._account
        if sync:
            conversation = await self._user_id(peer_id)
            await account.history.sync(conversation)
        else:
            conversation = await self._conversation_id(peer_id)
        return await account.messenger.messages.history(
            conversation, limit=limit, before=before, offset=offset
        )

    async def list_conversations(self) -> list[ConversationSummary]:
        """Every conversation with its newest message and what is unread, the latest first."""
        return await self._account.conversation_storage.summaries()

    async def unread_counts(self) -> dict[str, int]:
        """How many received messages are not marked as read, by conversation; only where any."""
        return await self._account.conversation_storage.unread()

    async def mark_as_read(self, peer_id: str, message_ids: Sequence[str]) -> None:
        """Mark messages from a peer as read, and tell the peer so.

        Args:
            peer_id: who sent them: a user id, or else an exact username.
            message_ids: any number of them; 98 go into each frame.

        Raises:
            ValidationError: no ids are given.
            ConnectionError: not connected: they are marked here, and the peer was not told (of
                all). Call again then.
        """
        if isinstance(message_ids, str) or not message_ids:
            raise ValidationError("give a list of the ids of the messages that were read")
        account = self._account
        peer = await self._conversation_id(peer_id)
        ids = list(dict.fromkeys(message_ids))
        await account.database.write(account.conversation_storage.mark_read(peer, ids))
        for start in range(0, len(ids), STATUS_BATCH):
            frame = ReadFrame(to=peer, message_ids=ids[start : start + STATUS_BATCH])
            await account.socket.send("read", frame)

    async def search_messages(
        self, words: str, peer_id: str | None = None, *, limit: int = 50
    ) -> list[Message]:
        """The messages that hold all the words, or words that begin so; the newest first.

        The first search decrypts every message to build an index in memory, which is dropped when
        nobody has searched for five minutes. Nothing of it is on the disk.

        Args:
            words: case and accents do not matter.
            peer_id: only this conversation.
            limit: how many at most.

        Raises:
            ValidationError: no words, or a negative limit.
        """
        if not words.strip() or limit < 0:
            raise ValidationError("give a word to search for, and no negative limit")
        account = self._account
        conversation = None if peer_id is None else await self._conversation_id(peer_id)
        return await account.search_index.search(words, conversation=conversation, limit=limit)

    async def delete_conversation(self, peer_id: str) -> int:
        """Delete a conversation's messages from this storage; returns how many there were.

        What still waits to be sent in it is not sent any more. The peer and the backend keep what
        they have, and the peer's identity stays pinned.
        """
        account = self._account
        conversation = await self._conversation_id(peer_id)
        await account.messenger.withdraw_all(conversation)
        deleted = await account.database.write(
            account.conversation_storage.delete(conversation, account.messenger.now())
        )
        await account.search_index.drop()
        return deleted

    async def _conversation_id(self, name: str) -> str:
        """A user's or group's id, where `name` may be a username; needs no backend for an id."""
        account = self._account
        known = account.directory.cached(name)
        if known is None and not await account.messenger.messages.has_conversation(name):
            known = await account.directory.find(name)
        return name if known is None else known.id
