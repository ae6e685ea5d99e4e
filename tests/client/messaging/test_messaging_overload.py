"""More comes in than there is room for: what has none is left to its history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from doubles.clients import Clients, Collected

from chatbot.client.messaging import receiving
from chatbot.client.transport.rest_client import RestClient
from chatbot.wire import HistoryRow

SAID = [str(number) for number in range(30)]


@pytest.mark.parametrize(("bound", "most"), [("MAX_INBOUND", 5), ("MAX_WAITING_SIZE", 3_000)])
async def test_what_there_is_no_room_for_is_fetched_when_there_is(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    whole, may_read, asked = RestClient.iter_history, asyncio.Event(), asyncio.Event()

    async def held_up(rest: RestClient, peer_id: str, **bounds: Any) -> AsyncGenerator[HistoryRow]:
        if peer_id == alice.user_id:
            asked.set()
            await may_read.wait()
        async for row in whole(rest, peer_id, **bounds):
            yield row

    monkeypatch.setattr(receiving, bound, most)
    monkeypatch.setattr(RestClient, "iter_history", held_up)
    alice = await clients.register("alice")
    bob = await clients.register("bob")
    await clients.register("carol")
    heard = Collected(bob.on_message)
    for text in SAID:
        await alice.send_message("bob", text)
    await asked.wait()
    assert heard.all == []
    assert (await bob.send_message("carol", "hello")).status == "delivered"  # echoes are read
    may_read.set()
    assert [(await heard.next(20)).content for _ in SAID] == SAID
    await alice.send_message("bob", "once")
    assert (await heard.next(20)).content == "once"
