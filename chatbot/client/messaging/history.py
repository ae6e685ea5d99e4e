"""A conversation's history, complete: what was missed is caught up with, what is older is kept.

Rows from before our keys, or older than anybody wants to handle, are handed to nobody. But those
in clear can still be read (pictures above all), so they are stored for whoever looks back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import cast, get_args

from chatbot.client.crypto.message import is_encrypted
from chatbot.client.models import Message, MessageStatus
from chatbot.client.storage.database import Database
from chatbot.client.storage.message_storage import MessageStorage
from chatbot.client.transport.rest_client import RestClient
from chatbot.wire import HistoryRow

from .catching_up import CatchUp
from .content import shown_image
from .history_reader import chunks
from .message_ids import MessageIds


class History:
    """Brings the storage up to what the backend has of a conversation."""

    def __init__(
        self,
        *,
        me: str,
        database: Database,
        messages: MessageStorage,
        rest: RestClient,
        catch_up: CatchUp,
        ids: MessageIds,
        clock: Callable[[], int],
    ) -> None:
        self._me = me
        self._database = database
        self._messages = messages
        self._rest = rest
        self._catch_up = catch_up
        self._ids = ids
        self._clock = clock

    async def sync(self, peer_id: str) -> None:
        """Read everything that the backend has and we have not, and can read.

        Raises:
            ConnectionError: the backend cannot be reached, or broke off.
        """
        await self._catch_up.read(peer_id)
        async with aclosing(chunks(self._rest.iter_history(peer_id))) as parts:
            async for part in parts:
                await self._keep(peer_id, part)

    async def _keep(self, peer_id: str, rows: Sequence[HistoryRow]) -> None:
        now = self._clock()
        units = [
            self._messages.keep(self._message(row), peer_id, now)
            for row in rows
            if not is_encrypted(row.content, row.encrypted) and self._is_readable(row, peer_id)
        ]

        def write(connection: sqlite3.Connection) -> None:
            for unit in units:
                unit(connection)

        if units:
            await self._database.write(write)

    def _is_readable(self, row: HistoryRow, peer_id: str) -> bool:
        """Ours only where another program of ours wrote it: our own ids tell of rollbacks."""
        if row.from_user == self._me:
            return row.to_user == peer_id and not self._ids.is_ours(row.id)
        return row.from_user == peer_id and row.to_user == self._me

    def _message(self, row: HistoryRow) -> Message:
        image = shown_image(row.image_data, row.content)
        known = row.status in get_args(MessageStatus)
        return Message(
            id=row.id,
            from_user=row.from_user,
            to_user=row.to_user,
            content=row.content,
            timestamp=row.timestamp,
            status=cast("MessageStatus", row.status) if known else "delivered",
            is_encrypted=False,
            type="text" if image is None else "image",
            image=image,
        )
