"""Looking back: histories, lists of conversations, search and deletion (FR-MSG-07)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from doubles.clients import PASSWORD, Clients, Collected, clients_on, texts
from doubles.pictures import PNG
from doubles.raw_client import raw_backend

from chatbot.client import WhatsAppClient
from chatbot.client.exceptions import ConnectionError, ValidationError
from chatbot.client.storage.search_index import SearchIndex
from chatbot.server import Server
from chatbot.wire import IMAGE_PLACEHOLDER


async def pair(clients: Clients) -> tuple[WhatsAppClient, WhatsAppClient]:
    return await clients.register("alice"), await clients.register("bob")


async def exchange(sender: WhatsAppClient, receiver: WhatsAppClient, *said: str) -> None:
    for content in said:
        await receiver.receive_message(await sender.send_message(receiver.user_id, content))


# ---------------------------------------------------------------- histories


async def test_pages_of_a_history(clients: Clients) -> None:
    alice, bob = await pair(clients)
    said = [str(n) for n in range(10)]
    await exchange(alice, bob, *said)
    assert texts(await bob.get_messages("alice")) == said
    assert texts(await bob.get_messages("alice", limit=3)) == said[-3:]
    assert texts(await bob.get_messages("alice", limit=3, offset=4)) == said[3:6]
    oldest = (await bob.get_messages("alice", limit=3))[0]
    assert texts(await bob.get_messages("alice", 4, oldest.timestamp)) == said[3:7]
    assert await bob.get_messages("alice", limit=0) == []
    assert await bob.get_messages("nobody at all") == []
    for limit, offset in ((-1, 0), (50, -1)):
        with pytest.raises(ValidationError, match="negative"):
            await bob.get_messages("alice", limit, offset=offset)


async def test_syncing_brings_what_was_missed_and_hands_it_on(clients: Clients) -> None:
    alice, bob = await pair(clients)
    await bob.logout()
    await alice.send_message("bob", "missed")
    bob = clients.new(auto_connect=False)
    await bob.login("bob", PASSWORD)
    received = Collected(bob.on_message)
    assert await bob.get_messages("alice") == []
    assert texts(await bob.get_messages("alice", sync=True)) == ["missed"]
    assert (await received.next()).content == "missed"
    assert texts(await bob.get_messages("alice", sync=True)) == ["missed"]
    assert len(received.all) == 1


async def test_syncing_keeps_old_messages_in_clear_and_hands_them_to_nobody(
    clients: Clients, server: Server, tmp_path: Path
) -> None:
    async with raw_backend(server.url) as backend:
        browser = await backend.register("browser")
        alice = await clients.register("alice")
        old = Collected(alice.on_message)
        async with browser.online() as socket:
            for content in ("a fall-back", "an old one"):
                await socket.send("message", to=alice.user_id, content=content, messageType="text")
                await old.next()
        await alice.send_image(browser.id, PNG)
        await alice.logout()
        async with clients_on(server.url, tmp_path / "new disk") as elsewhere:
            alice = await elsewhere.login("alice")
            received = Collected(alice.on_message)
            assert await alice.get_messages("browser") == []
            synced = await alice.get_messages("browser", sync=True)
            assert texts(synced) == ["a fall-back", "an old one", IMAGE_PLACEHOLDER]
            assert [m.from_user for m in synced] == [browser.id, browser.id, alice.user_id]
            assert [m.is_encrypted for m in synced] == [False] * 3
            assert synced[-1].image is not None
            assert synced[-1].image.data == PNG
            again = await alice.get_messages("browser", sync=True)
            assert again == synced
            async with browser.online() as socket:
                await socket.send("message", to=alice.user_id, content="new", messageType="text")
                assert (await received.next()).content == "new"
    assert texts(received.all) == ["new"]


async def test_syncing_says_what_is_wrong(clients: Clients, server: Server) -> None:
    alice, bob = await pair(clients)
    await exchange(alice, bob, "hello")
    with pytest.raises(ValidationError, match="no user"):
        await alice.get_messages("nobody", sync=True)
    lost = Collected(alice.on_connection_change)
    await server.stop()
    await lost.until(wanted=False)
    with pytest.raises(ConnectionError):
        await alice.get_messages("bob", sync=True)
    assert texts(await alice.get_messages("bob")) == ["hello"]


# ---------------------------------------------------------------- lists


async def test_conversations_with_their_last_message_and_what_is_unread(clients: Clients) -> None:
    alice, bob = await pair(clients)
    carol = await clients.register("carol")
    group = await carol.create_group("team", member_ids=["alice", "bob"])
    assert await alice.list_conversations() == []
    await exchange(bob, alice, "one", "two")
    await exchange(alice, bob, "answer")
    in_group = Collected(alice.on_group_message)
    await carol.send_group_message(group.id, "to all")
    await in_group.next()
    found = await alice.list_conversations()
    assert [(c.id, c.is_group, c.last_message.content, c.unread) for c in found] == [
        (group.id, True, "to all", 1),
        (bob.user_id, False, "answer", 2),
    ]
    assert await alice.unread_counts() == {bob.user_id: 2, group.id: 1}
    messages = await alice.get_messages("bob")
    await alice.mark_as_read("bob", [m.id for m in messages if m.from_user == bob.user_id])
    assert [c.unread for c in await alice.list_conversations()] == [1, 0]
    assert (await carol.list_conversations())[0].unread == 0


# ---------------------------------------------------------------- search


async def test_messages_are_found_by_their_words(clients: Clients) -> None:
    alice, bob = await pair(clients)
    carol = await clients.register("carol")
    await exchange(alice, bob, "Grüße aus Köln", "the quick brown fox", 'he said "quick, quick"')
    await exchange(carol, bob, "quicksand ahead", "nothing")
    found = await bob.search_messages("QUICK")
    assert texts(found) == ["quicksand ahead", 'he said "quick, quick"', "the quick brown fox"]
    assert texts(await bob.search_messages("quick", "alice")) == texts(found)[1:]
    assert texts(await bob.search_messages("quick", limit=1)) == ["quicksand ahead"]
    assert texts(await bob.search_messages("fox bro")) == ["the quick brown fox"]
    assert texts(await bob.search_messages("grusse koln")) == []
    assert texts(await bob.search_messages("gruße koln")) == ["Grüße aus Köln"]
    assert texts(await bob.search_messages("alice said")) == []
    assert texts(await alice.search_messages("fox")) == ["the quick brown fox"]
    assert await bob.search_messages("quick", "nobody at all") == []
    for words in ('"', "quick AND NOT", "a* OR (", "'; DROP TABLE words; --", "^:-+", "NEAR("):
        await bob.search_messages(words)
    for wrong in ("", "  \n"):
        with pytest.raises(ValidationError, match="word to search"):
            await bob.search_messages(wrong)
    with pytest.raises(ValidationError, match="negative"):
        await bob.search_messages("fox", limit=-1)


def index_is_built(client: WhatsAppClient) -> bool:
    return client._account.search_index.built


async def test_search_follows_what_comes_and_what_is_deleted(clients: Clients) -> None:
    alice, bob = await pair(clients)
    await exchange(alice, bob, "a first secret")
    assert len(await bob.search_messages("secret")) == 1
    await exchange(bob, alice, "a second secret")
    assert texts(await bob.search_messages("secret")) == ["a second secret", "a first secret"]
    assert index_is_built(bob)
    assert await bob.delete_conversation("alice") == 2
    assert not index_is_built(bob)
    assert await bob.search_messages("secret") == []
    await exchange(alice, bob, "a third secret")
    assert texts(await bob.search_messages("secret")) == ["a third secret"]


async def test_search_finds_messages_sent_since_they_were_pending(
    clients: Clients, server: Server
) -> None:
    alice, bob = await pair(clients)
    await exchange(alice, bob, "hello")
    lost = Collected(alice.on_connection_change)
    await server.stop()
    await lost.until(wanted=False)
    waiting = await alice.queue_message(bob.user_id, "needle")
    assert await alice.search_messages("needle") == []
    statuses = Collected(alice.on_message_status)
    await server.start()
    while (await statuses.next(20))[0] != waiting.id:
        pass
    assert [m.id for m in await alice.search_messages("needle")] == [waiting.id]


async def test_the_search_index_is_dropped_when_nobody_searches(clients: Clients) -> None:
    alice, bob = await pair(clients)
    await exchange(alice, bob, "hello there")
    dropped = asyncio.Event()

    class Watched(SearchIndex):
        async def drop(self) -> None:
            await super().drop()
            dropped.set()

    bob._account.search_index = Watched(bob._account.messenger.messages, idle=0.05)
    assert len(await bob.search_messages("hello")) == 1
    assert index_is_built(bob)
    async with asyncio.timeout(5):
        await dropped.wait()
    assert not index_is_built(bob)
    assert len(await bob.search_messages("there")) == 1


async def test_no_word_of_a_message_is_on_the_disk(clients: Clients) -> None:
    alice, bob = await pair(clients)
    await exchange(alice, bob, "xylophonic quartermaster")
    assert len(await bob.search_messages("xylo")) == 1
    path = bob._account.path
    for file in path.iterdir():
        content = file.read_bytes().lower()
        assert b"xylo" not in content
        assert b"quartermaster" not in content


# ---------------------------------------------------------------- deletion


async def test_a_deleted_conversation_stays_deleted_and_goes_on(clients: Clients) -> None:
    alice, bob = await pair(clients)
    await exchange(alice, bob, "one", "two")
    await exchange(bob, alice, "three")
    session = (await alice._crypto.ensure_session("bob")).session_id
    assert await alice.delete_conversation("bob") == 3
    assert await alice.delete_conversation("bob") == 0
    assert await alice.get_messages("bob") == []
    assert await alice.list_conversations() == []
    assert await alice.get_messages("bob", sync=True) == []
    await alice.logout()
    alice = await clients.login("alice")
    received = Collected(alice.on_message)
    await exchange(bob, alice, "four")
    assert texts(await alice.get_messages("bob")) == ["four"]
    assert texts(received.all) == ["four"]
    assert (await alice._crypto.ensure_session("bob")).session_id == session
    assert len(await bob.get_messages("alice")) == 4


async def test_a_deleted_conversation_does_not_look_like_a_rolled_back_disk(
    clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = await pair(clients)
    await exchange(bob, alice, "hello")
    await exchange(alice, bob, "one", "two")
    epoch = await alice._account.keys.key_epoch()
    await alice.delete_conversation("bob")
    await alice.logout()
    alice = await clients.login("alice")
    await alice.get_messages("bob", sync=True)
    assert await alice._account.keys.key_epoch() == epoch
    assert "does not know" not in caplog.text


async def test_what_waited_in_a_deleted_conversation_is_not_sent(
    clients: Clients, server: Server
) -> None:
    alice, bob = await pair(clients)
    await exchange(alice, bob, "hello")
    at_bob = Collected(bob.on_message)
    lost = Collected(alice.on_connection_change)
    await server.stop()
    await lost.until(wanted=False)
    await alice.queue_message(bob.user_id, "never mind")
    assert await alice.delete_conversation(bob.user_id) == 2
    await server.start()
    await lost.until(wanted=True, seconds=20)
    if bob.connection_state != "connected":
        await Collected(bob.on_connection_change).until(wanted=True, seconds=20)
    await exchange(alice, bob, "after all")
    assert texts([await at_bob.next(), await at_bob.next()]) == ["hello", "after all"]


async def test_deleting_messages_that_nobody_has_handled_yet(clients: Clients) -> None:
    alice, bob = await pair(clients)
    await exchange(alice, bob, "one", "two")
    assert await bob.delete_conversation("alice") == 2
    late = Collected(bob.on_message)
    await exchange(alice, bob, "three")
    assert (await late.next()).content == "three"
    assert len(late.all) == 1


async def test_a_deleted_group_conversation(clients: Clients) -> None:
    alice, bob = await pair(clients)
    group = await alice.create_group("team", member_ids=["bob"])
    at_bob = Collected(bob.on_group_message)
    await alice.send_group_message(group.id, "to all")
    await at_bob.next()
    assert await bob.delete_conversation(group.id) == 1
    assert await bob.get_group_messages(group.id) == []
    assert texts(await bob.get_group_messages(group.id, sync=True)) == ["to all"]
