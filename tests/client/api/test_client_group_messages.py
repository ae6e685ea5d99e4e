"""What is said in groups: texts, pictures, typing, reads and events, by three clients."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
from doubles.clients import Clients, Collected, clients_on, texts
from doubles.pictures import PNG
from doubles.raw_client import Person, raw_backend

from chatbot.client import Group, WhatsAppClient
from chatbot.client.exceptions import ConnectionError, PermissionDeniedError, ValidationError
from chatbot.client.messaging import presence
from chatbot.server import Server
from chatbot.wire import IMAGE_PLACEHOLDER


@dataclass(frozen=True)
class Team:
    """Three clients in one group, which alice owns."""

    alice: WhatsAppClient
    bob: WhatsAppClient
    carol: WhatsAppClient
    group: Group
    clients: Clients

    @classmethod
    async def make(cls, clients: Clients) -> Team:
        alice, bob, carol = [await clients.register(n) for n in ("alice", "bob", "carol")]
        group = await alice.create_group("team", member_ids=["bob", "carol"])
        return cls(alice, bob, carol, group, clients)


@pytest.fixture
async def team(clients: Clients) -> Team:
    return await Team.make(clients)


async def test_everybody_hears_everybody_in_order(any_clients: Clients) -> None:
    team = await Team.make(any_clients)
    members = team.alice, team.bob, team.carol
    heard = [Collected(member.on_group_message) for member in members]
    for turn in range(6):
        sent = await members[turn % 3].send_group_message(team.group.id, f"turn {turn}")
        assert (sent.status, sent.is_encrypted) == ("sent", False)
        assert (sent.group_id, sent.to_user) == (team.group.id, "")
    for place, collected in enumerate(heard):
        expected = [f"turn {turn}" for turn in range(6) if turn % 3 != place]
        assert [(await collected.next()).content for _ in expected] == expected
    everything = [f"turn {turn}" for turn in range(6)]
    for member in members:
        assert texts(await member.get_group_messages(team.group.id)) == everything
        assert texts(await member.get_group_messages(team.group.id, sync=True)) == everything


async def test_many_at_once_keep_their_order_and_none_is_lost(team: Team) -> None:
    at_bob = Collected(team.bob.on_group_message)
    said = [f"number {n}" for n in range(20)] + ["the same twice"] * 2
    sent = await asyncio.gather(
        *(team.alice.send_group_message(team.group.id, content) for content in said)
    )
    assert {message.status for message in sent} == {"sent"}
    assert [(await at_bob.next()).content for _ in said] == said


async def test_what_a_member_missed_comes_on_return_once(any_clients: Clients) -> None:
    team = await Team.make(any_clients)
    at_bob = Collected(team.bob.on_group_message)
    await team.alice.send_group_message(team.group.id, "before")
    assert (await at_bob.next()).content == "before"
    await team.bob.logout()
    for n in range(3):
        await team.alice.send_group_message(team.group.id, f"missed {n}")
    bob = await team.clients.login("bob")
    returned = Collected(bob.on_group_message)
    await team.alice.send_group_message(team.group.id, "after")
    heard = [(await returned.next()).content for _ in range(4)]
    assert heard == ["missed 0", "missed 1", "missed 2", "after"]
    assert len(returned.all) == 4


async def test_only_admins_write_where_it_is_so(any_clients: Clients) -> None:
    team = await Team.make(any_clients)
    await team.alice.update_group(team.group.id, message_permission="admins_only")
    words = "Only admins can send messages in this group."
    with pytest.raises(PermissionDeniedError) as caught:
        await team.bob.send_group_message(team.group.id, "may I?")
    assert str(caught.value) == words
    assert await team.bob.get_group_messages(team.group.id) == []
    at_bob = Collected(team.bob.on_group_message)
    await team.alice.send_group_message(team.group.id, "I may")
    assert (await at_bob.next()).content == "I may"


async def test_whoever_is_not_in_a_group(team: Team) -> None:
    dave = await team.clients.register("dave")
    for group_id, error in (
        (team.group.id, PermissionDeniedError),
        ("no-such-group", ValidationError),
    ):
        with pytest.raises(error, match=r"(?i)group"):
            await dave.send_group_message(group_id, "hello?")
        with pytest.raises(error, match=r"(?i)group"):
            await dave.send_group_image(group_id, PNG, caption="hello?")
        assert await dave.get_group_messages(group_id) == []


async def test_pictures_with_their_captions_behind_them(team: Team) -> None:
    at_bob = Collected(team.bob.on_group_message)
    sent = await team.alice.send_group_image(team.group.id, PNG, caption="our plan")
    picture, caption = await at_bob.next(), await at_bob.next()
    assert (sent.status, sent.type, sent.is_encrypted) == ("sent", "image", False)
    assert (picture.type, picture.content) == ("image", IMAGE_PLACEHOLDER)
    assert (picture.image.data, picture.image.mime) == (PNG, "image/png")
    assert (caption.type, caption.content) == ("text", "our plan")
    kept = await team.carol.get_group_messages(team.group.id, sync=True)
    assert [message.image is not None for message in kept] == [True, False]


async def test_a_browsers_picture_with_a_text_in_it(team: Team, server: Server) -> None:
    at_bob = Collected(team.bob.on_group_message)
    async with raw_backend(server.url) as backend:
        dave: Person = await backend.register("dave")
        await team.alice.add_group_member(team.group.id, dave.id)
        async with dave.online() as socket:
            await socket.send(
                "group_message",
                groupId=team.group.id,
                content="look",
                messageType="image",
                imageData="data:image/png;base64,iVBORw0KGgo=",
            )
            received = await at_bob.next()
    assert (received.content, received.image.caption) == ("look", "look")


async def test_bad_texts_pictures_and_limits(team: Team) -> None:
    group_id = team.group.id
    for call, complaint in (
        (team.alice.send_group_message(group_id, ""), "empty"),
        (team.alice.send_group_message(group_id, "x" * 70_000), "in parts"),
        (team.alice.send_group_message(group_id, "\ud800"), "Unicode"),
        (team.alice.send_group_message("", "hi"), "id"),
        (team.alice.send_group_image(group_id, b"no picture"), "not an image"),
        (team.alice.send_group_image(group_id, PNG, "x" * 70_000), "at most"),
        (team.alice.get_group_messages(group_id, limit=-1), "negative"),
        (team.alice.get_group_events(group_id, limit=-1), "negative"),
        (team.alice.mark_group_as_read(group_id, "no-such-message"), "no message"),
        (team.alice.send_group_event(group_id, ""), "name"),
        (team.alice.send_group_event(group_id, "x", groupId="y"), "name"),
        (team.alice.send_group_event(group_id, "x", detail=object()), "JSON"),
        (team.alice.send_group_event(group_id, "x", detail="\ud800"), "Unicode"),
        (team.alice.send_group_typing(""), "id"),
    ):
        with pytest.raises(ValidationError, match=complaint):
            await call
    assert await team.alice.get_group_messages(group_id) == []


async def test_a_history_in_pages(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [f"number {n}" for n in range(12)]
    for content in said:
        await team.alice.send_group_message(team.group.id, content)
    history = team.bob._account.rest.group_history

    async def short(group_id: str, *, before: int | None = None) -> object:
        return await history(group_id, limit=5, before=before)

    monkeypatch.setattr(team.bob._account.rest, "group_history", short)
    assert texts(await team.bob.get_group_messages(team.group.id, sync=True)) == said
    newest = await team.bob.get_group_messages(team.group.id, limit=3, sync=True)
    assert texts(newest) == said[-3:]
    before = newest[0].timestamp
    older = await team.bob.get_group_messages(team.group.id, 7, before, sync=True)
    assert texts(older) == said[2:9]
    assert await team.bob.get_group_messages(team.group.id, limit=0, sync=True) == []
    events = await team.bob.get_group_events(team.group.id)
    assert [event.event for event in events] == ["group_created"]
    assert events[0].user_id == team.alice.user_id


async def test_reads_are_told_to_the_others_and_counted_here(team: Team) -> None:
    at_alice, at_carol = Collected(team.alice.on_group_read), Collected(team.carol.on_group_read)
    at_bob = Collected(team.bob.on_group_message)
    for n in range(3):
        await team.alice.send_group_message(team.group.id, str(n))
    received = [await at_bob.next() for _ in range(3)]
    assert await team.bob.unread_counts() == {team.group.id: 3}
    await team.bob.mark_group_as_read(team.group.id, received[1].id)
    told = (team.group.id, received[1].id, team.bob.user_id)
    assert await at_alice.next() == told
    assert await at_carol.next() == told
    assert await team.bob.unread_counts() == {team.group.id: 1}
    await team.bob.mark_group_as_read(team.group.id, received[2].id)
    assert await team.bob.unread_counts() == {}
    statuses = [m.status for m in await team.bob.get_group_messages(team.group.id)]
    assert statuses == ["read"] * 3
    assert await team.alice.unread_counts() == {}


async def test_typing_ends_by_itself_on_both_sides(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "TYPING_TIMEOUT", 0.05)
    at_bob = Collected(team.bob.on_group_typing)
    own = Collected(team.alice.on_group_typing)
    await team.alice.send_group_typing(team.group.id)
    assert await at_bob.next() == (team.group.id, team.alice.user_id, True)
    assert await at_bob.next() == (team.group.id, team.alice.user_id, False)
    await team.alice.send_group_typing(team.group.id)
    await team.alice.send_group_typing(team.group.id, typing=False)
    assert await at_bob.next() == (team.group.id, team.alice.user_id, True)
    assert await at_bob.next() == (team.group.id, team.alice.user_id, False)
    assert own.all == []


async def test_events_reach_everybody_as_they_were_sent(team: Team) -> None:
    at_alice, at_bob = Collected(team.alice.on_group_event), Collected(team.bob.on_group_event)
    await team.alice.send_group_event(team.group.id, "poll", question="Tea?", options=["yes", "no"])
    payload = {
        "groupId": team.group.id,
        "event": "poll",
        "question": "Tea?",
        "options": ["yes", "no"],
    }
    assert await at_bob.next() == (team.group.id, payload)
    assert await at_alice.next() == (team.group.id, payload)


async def test_without_a_connection(team: Team, server: Server) -> None:
    lost = Collected(team.alice.on_connection_change)
    at_alice = Collected(team.alice.on_group_message)
    await team.bob.send_group_message(team.group.id, "read me")
    received = await at_alice.next()
    await server.stop()
    await lost.until(wanted=False)
    for call in (
        team.alice.send_group_message(team.group.id, "hi"),
        team.alice.send_group_typing(team.group.id),
        team.alice.send_group_event(team.group.id, "x"),
        team.alice.mark_group_as_read(team.group.id, received.id),
    ):
        with pytest.raises(ConnectionError):
            await call
    assert texts(await team.alice.get_group_messages(team.group.id)) == ["read me"]
    assert await team.alice.unread_counts() == {}


async def test_what_was_said_before_this_storage_is_in_the_backends_history(
    team: Team, server: Server, tmp_path: Path
) -> None:
    await team.bob.send_group_message(team.group.id, "from the old disk")
    await team.alice.send_group_message(team.group.id, "long ago")
    await team.bob.logout()
    async with clients_on(server.url, tmp_path / "new disk") as elsewhere:
        bob = await elsewhere.login("bob")
        synced = await bob.get_group_messages(team.group.id, sync=True)
        assert texts(synced) == ["from the old disk", "long ago"]
        assert [message.from_user for message in synced] == [
            bob.user_id,
            team.alice.user_id,
        ]
