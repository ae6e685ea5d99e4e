"""Statuses, read receipts and typing in 1:1 chats (FR-MSG-05, 06; FR-RT-02)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from doubles.clients import Clients, Collected
from doubles.faulty_backend import FaultyServer
from doubles.raw_client import raw_backend

from chatbot.client import Message, WhatsAppClient
from chatbot.client.exceptions import ConnectionError, SessionNotFoundError, ValidationError
from chatbot.client.messaging import presence
from chatbot.server import Server


async def pair(clients: Clients) -> tuple[WhatsAppClient, WhatsAppClient]:
    return await clients.register("alice"), await clients.register("bob")


async def status_of(client: WhatsAppClient, peer: str, message_id: str) -> str:
    return next(m.status for m in await client.get_messages(peer) if m.id == message_id)


async def test_from_delivered_to_read_on_both_sides(any_clients: Clients) -> None:
    alice, bob = await pair(any_clients)
    statuses = Collected(alice.on_message_status)
    sent = await alice.send_message("bob", "read me")
    received = await bob.receive_message(sent)
    assert (sent.status, received.status) == ("delivered", "delivered")
    assert await bob.unread_counts() == {alice.user_id: 1}
    await bob.mark_as_read("alice", [sent.id])
    await statuses.until((sent.id, "read"))
    assert await status_of(alice, "bob", sent.id) == "read"
    assert await status_of(bob, "alice", sent.id) == "read"
    assert await bob.unread_counts() == {}
    assert statuses.all == [(sent.id, "delivered"), (sent.id, "read")]


async def test_from_sent_to_delivered_when_the_peer_returns(clients: Clients) -> None:
    alice, bob = await pair(clients)
    statuses = Collected(alice.on_message_status)
    await bob.logout()
    sent = await alice.send_message("bob", "for later")
    assert sent.status == "sent"
    bob = await clients.login("bob")
    await statuses.until((sent.id, "delivered"))
    assert statuses.all == [(sent.id, "sent"), (sent.id, "delivered")]
    assert (await Collected(bob.on_message).next()).content == "for later"


async def test_any_number_of_ids_goes_out_in_batches_that_the_backend_takes(
    clients: Clients, server: Server
) -> None:
    bob = await clients.register("bob")
    async with raw_backend(server.url) as backend:
        alice = await backend.register("alice")
        async with alice.online() as socket:
            ids = [f"message {n}" for n in range(250)]
            await bob.mark_as_read(alice.id, [*ids, *ids[:10]])
            frames = [await socket.next("read") for _ in range(3)]
            assert await socket.pending() == []
    assert [len(frame["messageIds"]) for frame in frames] == [98, 98, 54]
    assert [i for frame in frames for i in frame["messageIds"]] == ids
    assert {frame["readBy"] for frame in frames} == {bob.user_id}


async def test_a_thousand_messages_are_marked_on_the_backend_that_takes_few(
    faulty_clients: Clients, faulty: FaultyServer
) -> None:
    assert faulty.faults.small_batches
    alice, bob = await pair(faulty_clients)
    sent = [await alice.send_message("bob", str(n)) for n in range(120)]
    statuses = Collected(alice.on_message_status)
    await bob.receive_message(sent[-1])
    await bob.mark_as_read("alice", [message.id for message in sent])
    await statuses.until((sent[-1].id, "read"))
    assert {m.status for m in await alice.get_messages("bob", limit=200)} == {"read"}


async def test_statuses_never_go_backwards(clients: Clients, server: Server) -> None:
    alice = await clients.register("alice")
    bob = await clients.register("bob")
    statuses = Collected(alice.on_message_status)
    sent = await alice.send_message("bob", "hello")
    await bob.receive_message(sent)
    await bob.mark_as_read("alice", [sent.id])
    await statuses.until((sent.id, "read"))
    async with raw_backend(server.url) as backend:
        mallory = await backend.register("mallory")
        async with mallory.online() as socket:
            for status in ("delivered", "sent", "pending", "nonsense"):
                await socket.send("status", to=alice.user_id, messageId=sent.id, status=status)
            await socket.send("read", to=alice.user_id, messageIds=["unknown", "ids"])
            await socket.pending()
    later = await alice.send_message("bob", "later")
    await bob.receive_message(later)
    await bob.mark_as_read("alice", [later.id])
    await statuses.until((later.id, "read"))
    assert await status_of(alice, "bob", sent.id) == "read"
    assert [status for i, status in statuses.all if i == sent.id] == ["delivered", "read"]


async def test_marking_read_without_ids_or_connection(clients: Clients, server: Server) -> None:
    alice, bob = await pair(clients)
    wrong: tuple[Sequence[str], ...] = ([], (), "an id")
    for ids in wrong:
        with pytest.raises(ValidationError, match="list of the ids"):
            await bob.mark_as_read("alice", ids)
    sent = await alice.send_message("bob", "hello")
    await bob.receive_message(sent)
    lost = Collected(bob.on_connection_change)
    await server.stop()
    await lost.until(wanted=False)
    with pytest.raises(ConnectionError):
        await bob.mark_as_read(alice.user_id, [sent.id])
    assert await bob.unread_counts() == {}
    await server.start()
    await lost.until(wanted=True, seconds=20)
    if alice.connection_state != "connected":
        await Collected(alice.on_connection_change).until(wanted=True, seconds=20)
    statuses = Collected(alice.on_message_status)
    await bob.mark_as_read("alice", [sent.id])
    await statuses.until((sent.id, "read"))


async def test_only_what_the_peer_sent_is_marked(clients: Clients) -> None:
    alice, bob = await pair(clients)
    mine: Message = await bob.send_message("alice", "mine")
    theirs = await alice.send_message("bob", "theirs")
    await bob.receive_message(theirs)
    await bob.mark_as_read("alice", [mine.id, "unknown"])
    assert await status_of(bob, "alice", mine.id) == "delivered"
    assert await bob.unread_counts() == {alice.user_id: 1}


async def test_typing_ends_by_itself_on_both_sides(
    clients: Clients, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "TYPING_TIMEOUT", 0.05)
    alice, bob = await pair(clients)
    typing = Collected(bob.on_typing)
    async with raw_backend(server.url) as backend:
        carol = await backend.register("carol")
        async with carol.online() as socket:
            await socket.send("typing", to=bob.user_id, typing=True)
            assert await typing.next() == (carol.id, True)
            assert await typing.next() == (carol.id, False)
            await alice.send_typing(carol.id)
            assert (await socket.next("typing"))["typing"] is True
            assert (await socket.next("typing"))["typing"] is False


async def test_typing_that_is_renewed_goes_on(clients: Clients, server: Server) -> None:
    alice = await clients.register("alice")
    async with raw_backend(server.url) as backend:
        carol = await backend.register("carol")
        async with carol.online() as socket:
            for typing in (True, True, False):
                await alice.send_typing("carol", typing=typing)
            told = [(await socket.next("typing"))["typing"] for _ in range(3)]
    assert told == [True, True, False]
    with pytest.raises(SessionNotFoundError, match="nobody"):
        await alice.send_typing("nobody")
