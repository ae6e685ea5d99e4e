"""Prekeys over time (PROTOCOL.md 4.4): each goes up once, and there are always some."""

from __future__ import annotations

import asyncio

import pytest
from doubles.clients import PASSWORD, Clients, Collected

from chatbot.client import prekeys
from chatbot.client.transport.rest_client import RestClient
from chatbot.testing.clock import MovableClock
from chatbot.wire import KeyUpload, KeyUploadResult, PrekeyStatus

WEEK = 7 * 86_400_000


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[KeyUpload]:
    """What has been uploaded."""
    upload, bodies = RestClient.upload_keys, list[KeyUpload]()

    async def noted(rest: RestClient, body: KeyUpload) -> KeyUploadResult:
        bodies.append(body)
        return await upload(rest, body)

    monkeypatch.setattr(RestClient, "upload_keys", noted)
    return bodies


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set whenever somebody has looked at how many are left."""
    status, event = RestClient.prekey_status, asyncio.Event()

    async def noted(rest: RestClient) -> PrekeyStatus:
        event.set()
        return await status(rest)

    monkeypatch.setattr(RestClient, "prekey_status", noted)
    return event


def one_time_ids(body: KeyUpload) -> set[int]:
    return {prekey.key_id for prekey in body.one_time_prekeys}


async def test_below_the_minimum_it_is_refilled_with_others(
    clients: Clients, uploads: list[KeyUpload]
) -> None:
    bob = await clients.register("bob")
    (first,) = uploads
    alice = await clients.register("alice")
    uploads.clear()
    for _ in range(80):
        await alice._account.rest.prekey_bundle(bob.user_id)
    await bob._account.prekeys.check()
    assert uploads == []  # 20 are enough
    await alice._account.rest.prekey_bundle(bob.user_id)
    await bob._account.prekeys.check()
    await bob._account.prekeys.check()
    (second,) = uploads
    assert (len(first.one_time_prekeys), len(second.one_time_prekeys)) == (100, 50)
    assert one_time_ids(first).isdisjoint(one_time_ids(second))
    assert second.signed_prekey is None
    assert bob._account.prekeys.on_backend == 69


async def test_after_a_week_there_is_another_signed_prekey_and_the_former_still_serves(
    clients: Clients, uploads: list[KeyUpload]
) -> None:
    clock = MovableClock()
    alice, bob = await clients.register("alice"), await clients.register("bob", clock=clock)
    heard = Collected(bob.on_message)
    await alice.send_message("bob", "opens a session, and so will the next: nobody has answered")
    await heard.next()
    uploads.clear()
    clock.advance(WEEK)
    await bob._account.prekeys.check()
    (rotated,) = uploads
    assert rotated.signed_prekey is not None
    assert rotated.one_time_prekeys == []
    await alice.send_message("bob", "with the keys from before")
    assert (await heard.next()).content == "with the keys from before"
    await bob._account.prekeys.check()
    assert len(uploads) == 1


async def test_nothing_goes_up_again_after_a_restart(
    clients: Clients, uploads: list[KeyUpload]
) -> None:
    bob = await clients.register("bob")
    await bob.logout()
    await clients.login("bob")
    assert len(uploads) == 1


async def test_a_storage_that_was_lost_numbers_far_beyond(
    clients: Clients, uploads: list[KeyUpload]
) -> None:
    bob = await clients.register("bob")
    await bob.logout(clear_storage=True)
    await bob.login("bob", PASSWORD)
    first, second = uploads
    assert first.signed_prekey is not None
    assert second.signed_prekey is not None
    beyond = first.signed_prekey.key_id + 1_000_000
    assert min(second.signed_prekey.key_id, *one_time_ids(second)) >= beyond


async def test_it_looks_every_five_minutes(
    clients: Clients, looked: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert prekeys.CHECK_INTERVAL == 5 * 60
    monkeypatch.setattr(prekeys, "CHECK_INTERVAL", 0.01)
    monkeypatch.setattr(prekeys, "MIN_INTERVAL", 0.01)
    await clients.register("bob")
    for _ in range(3):
        looked.clear()
        async with asyncio.timeout(10):
            await looked.wait()


async def test_it_looks_after_a_burst_of_sessions(clients: Clients, looked: asyncio.Event) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    heard = Collected(bob.on_message)
    looked.clear()
    for number in range(prekeys.BURST):
        assert not looked.is_set()
        await alice.send_message("bob", f"opens session {number}")
        await heard.next()
    async with asyncio.timeout(10):
        await looked.wait()
