"""What is old is forgotten; what somebody waits for is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.clients import CHEAP

from chatbot.client.models import Message
from chatbot.client.storage.database import Database
from chatbot.client.storage.key_storage import KeyStorage
from chatbot.client.storage.message_storage import MessageStorage
from chatbot.client.storage.outbox_storage import OutboxStorage
from chatbot.client.storage.retention import DAY, SHORTEST_MEMORY, forget_old
from chatbot.client.storage.schema import COMPONENT, MIGRATIONS

NOW = 400 * DAY


def message(number: int, *, ours: bool = False) -> Message:
    me, peer = "me", "peer"
    return Message(
        id=f"m{number}",
        from_user=me if ours else peer,
        to_user=peer if ours else me,
        content=f"text {number}",
        timestamp=number,
        status="sent",
        is_encrypted=True,
    )


async def test_only_what_nobody_waits_for(tmp_path: Path) -> None:
    async with (
        await KeyStorage.open(tmp_path, "a password", parameters=CHEAP) as keys,
        await Database.open(tmp_path / "messages.db") as database,
    ):
        await database.migrate(COMPONENT, MIGRATIONS)
        messages = MessageStorage(database, keys.vault)
        outbox = OutboxStorage(database, messages, me="me")
        old, recent = NOW - 90 * DAY, NOW - DAY
        for number in range(450):
            await database.write(messages.keep(message(number), "peer", old))
        await database.write(messages.receive(message(1000), "peer", old))
        await database.write(messages.keep(message(1001), "peer", recent))
        waits = message(1002, ours=True)
        await database.write(outbox.enqueue(waits, now=old, expires_at=NOW + DAY))

        assert await forget_old(database, now=NOW, keep=30 * DAY) == 450

        left = await messages.history("peer", limit=1000)
        assert [m.id for m in left] == ["m1000", "m1001", "m1002"]
        assert [entry.message.id for entry in await messages.pending()] == ["m1000"]
        assert await database.write(messages.keep(message(1001), "peer", NOW)) is False
        assert await forget_old(database, now=NOW, keep=30 * DAY) == 0


@pytest.mark.parametrize(
    ("age", "known"), [(SHORTEST_MEMORY - 1, True), (SHORTEST_MEMORY + 1, False)]
)
async def test_what_was_received_is_remembered_longer(
    tmp_path: Path, age: int, known: bool
) -> None:
    async with (
        await KeyStorage.open(tmp_path, "a password", parameters=CHEAP) as keys,
        await Database.open(tmp_path / "messages.db") as database,
    ):
        await database.migrate(COMPONENT, MIGRATIONS)
        messages = MessageStorage(database, keys.vault)
        await database.write(messages.keep(message(1), "peer", NOW - age))
        assert await forget_old(database, now=NOW, keep=DAY) == 1
        assert await database.write(messages.keep(message(1), "peer", NOW)) is not known
