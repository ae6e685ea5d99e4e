"""The inbox under more than it can handle: bounded, in order, and fair."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from chatbot.client.crypto.vault import DataKey, Vault
from chatbot.client.messaging.inbox import Inbox
from chatbot.client.models import Message
from chatbot.client.storage.database import Database
from chatbot.client.storage.message_storage import InboxEntry, MessageStorage
from chatbot.client.storage.schema import COMPONENT, MIGRATIONS

WINDOW, SHARE = 8, 4


class Desk:
    """An inbox whose handler waits until it may begin, and notes what it has handled."""

    def __init__(self, database: Database) -> None:
        self.handled: list[tuple[str, int]] = []
        self.most_in_memory = 0
        self.may_begin = asyncio.Event()
        self._arrived: dict[str, int] = {}
        self._database = database
        self._messages = MessageStorage(
            database, Vault(DataKey(os.urandom(32)), {1: os.urandom(32)}, 1)
        )
        self._changed = asyncio.Condition()
        self.inbox = Inbox(self._messages, self._handle, window=WINDOW, share=SHARE, concurrency=2)

    async def arrive(self, sender: str) -> None:
        """The next message of a sender is stored, and the inbox is told."""
        self.inbox.arrived(await self.store(sender))

    async def store(self, sender: str) -> InboxEntry:
        """The next message of a sender is stored."""
        number = self._arrived[sender] = self._arrived.get(sender, -1) + 1
        message = Message(
            id=f"{sender} {number}",
            from_user=sender,
            to_user="me",
            content=str(number),
            timestamp=1,
            status="delivered",
            is_encrypted=True,
        )
        seq = await self._database.write(self._messages.receive(message, sender, 1))
        assert seq is not None
        return InboxEntry(seq, sender, "direct", message)

    async def everything(self) -> dict[str, list[int]]:
        """What was handled, by sender, once all that has arrived is."""
        count = sum(last + 1 for last in self._arrived.values())
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: len(self.handled) >= count)
        return {sender: [n for s, n in self.handled if s == sender] for sender in self._arrived}

    @property
    def all_in_order(self) -> dict[str, list[int]]:
        """What `everything` has to be."""
        return {sender: list(range(last + 1)) for sender, last in self._arrived.items()}

    async def _handle(self, entry: InboxEntry) -> None:
        await self.may_begin.wait()
        self.most_in_memory = max(self.most_in_memory, len(self.inbox))
        await self._database.write(MessageStorage.done(entry.seq))
        async with self._changed:
            self.handled.append((entry.conversation, int(entry.message.content)))
            self._changed.notify_all()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with await Database.open(tmp_path / "messages.db") as database:
        await database.migrate(COMPONENT, MIGRATIONS)
        desk = Desk(database)
        yield desk
        await desk.inbox.close()


async def test_one_who_floods_keeps_nobody_else_waiting(desk: Desk) -> None:
    desk.inbox.start()
    for _ in range(100):
        await desk.arrive("mallory")
    await desk.arrive("bob")
    desk.may_begin.set()
    assert await desk.everything() == desk.all_in_order
    assert desk.handled.index(("bob", 0)) <= 2 * SHARE


async def test_what_was_left_by_an_earlier_start_comes_first(desk: Desk) -> None:
    for sender in ("mallory", "mallory", "bob") * 7:
        await desk.arrive(sender)
    desk.may_begin.set()
    desk.inbox.start()
    for sender in ("mallory", "carol", "bob") * 7:
        await desk.arrive(sender)
    assert await desk.everything() == desk.all_in_order
    assert desk.most_in_memory <= WINDOW


async def test_what_is_read_before_the_inbox_is_told_of_it_is_handled_once(desk: Desk) -> None:
    """A commit can be seen by whoever reads before its writer hears that it was made."""
    entries = [await desk.store(sender) for sender in ("bob", "bob", "carol")]
    desk.may_begin.set()
    desk.inbox.start()
    await desk.everything()
    for entry in entries:
        desk.inbox.arrived(entry)
    for sender in ("bob", "carol", "bob"):
        await desk.arrive(sender)
    assert await desk.everything() == desk.all_in_order


async def test_what_is_handled_while_the_next_is_read(desk: Desk) -> None:
    desk.may_begin.set()
    for _ in range(3):
        await desk.arrive("bob")
    desk.inbox.start()
    desk.inbox.start()
    for _ in range(50):
        await desk.arrive("bob")
        await desk.everything()
        await desk.arrive("carol")
    assert await desk.everything() == desk.all_in_order


@pytest.mark.parametrize("seed", range(5))
async def test_however_they_arrive_all_are_handled_once_and_in_order(desk: Desk, seed: int) -> None:
    random = Random(seed)
    desk.inbox.start()
    desk.may_begin.set()
    for _ in range(60):
        if random.random() < 0.1:
            (desk.may_begin.clear, desk.may_begin.set)[random.randrange(2)]()
        for sender in random.choices("abcdefghijkl", range(1, 13), k=random.randrange(12)):
            await desk.arrive(sender)
    desk.may_begin.set()
    assert await desk.everything() == desk.all_in_order
    assert desk.most_in_memory <= WINDOW
    await desk.inbox.close()
    assert len(desk.inbox) == 0
