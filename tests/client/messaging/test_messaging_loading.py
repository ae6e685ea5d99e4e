"""Conversations that are being loaded while those who asked for them go away."""

from __future__ import annotations

import asyncio

from doubles.clients import Clients


async def test_who_was_cancelled_keeps_nobody_else_waiting(clients: Clients) -> None:
    alice = await clients.register("alice")
    conversations = alice._account.messenger.conversations
    impatient = asyncio.ensure_future(conversations.open("somebody"))
    patient = asyncio.ensure_future(conversations.open("somebody"))
    await asyncio.sleep(0)  # both have asked
    impatient.cancel()
    async with asyncio.timeout(10):
        assert (await patient).peer_id == "somebody"
    assert impatient.cancelled()
