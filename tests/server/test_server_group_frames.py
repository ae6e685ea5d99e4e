from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from doubles.faulty_backend import CHEAP_HASHER
from doubles.raw_client import Person, PersonSocket, raw_backend

from chatbot.server import Server


@dataclass
class Room:
    """A group of alice (owner) and bob, both online, and carol outside."""

    id: str
    alice: PersonSocket
    bob: PersonSocket
    carol: PersonSocket

    async def say(self, socket: PersonSocket, content: str, **parts: Any) -> None:
        await socket.send("group_message", groupId=self.id, content=content, **parts)


@pytest.fixture
async def room(alice: Person, bob: Person, carol: Person) -> AsyncIterator[Room]:
    answer = await alice.call("POST", "/api/groups", {"name": "Team", "memberIds": [bob.id]})
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(who.online()) for who in (alice, bob, carol)]
        for socket in sockets:
            await socket.pending()
        yield Room(answer.body["id"], *sockets)


async def history(reader: Person, room: Room, query: str = "") -> list[dict[str, Any]]:
    rows = await reader.get(f"/api/groups/{room.id}/messages{query}")
    return [row for row in rows if row["system_event"] is None]


async def test_a_group_message_reaches_all_members_and_its_sender(
    room: Room, alice: Person, bob: Person
) -> None:
    await room.say(room.alice, "hello all")

    own = await room.alice.receive()
    assert await room.bob.receive() == own
    assert await room.carol.pending() == []
    kind, payload = own
    message_id, timestamp = payload["id"], payload["timestamp"]
    assert kind == "group_message"
    assert payload == {
        "id": message_id,
        "group_id": room.id,
        "from_user": alice.id,
        "content": "hello all",
        "timestamp": timestamp,
        "type": "text",
        "from_username": "alice",
    }
    assert await history(bob, room) == [
        {**payload, "imageData": None, "system_event": None, "metadata": None}
    ]


async def test_a_picture_in_a_group(room: Room, bob: Person) -> None:
    data = "data:image/gif;base64,R0lGODlh"
    await room.say(room.alice, "📷 Image", messageType="image", imageData=data)

    arrived = await room.bob.next("group_message")
    assert (arrived["type"], arrived["imageData"]) == ("image", data)
    assert (await history(bob, room))[0]["imageData"] == data


async def test_a_message_id_of_the_senders_own_posts_once(room: Room, bob: Person) -> None:
    await room.say(room.alice, "first", messageId="g1")
    first = await room.alice.receive()
    await room.say(room.alice, "second", messageId="g1")
    again = await room.alice.receive()

    assert again == first
    assert first[1]["id"] == "g1"
    assert await room.bob.pending() == [first]
    await room.say(room.bob, "the same id, but bob's", messageId="g1")
    assert (await room.alice.next("group_message"))["content"] == "the same id, but bob's"
    assert len(await history(bob, room)) == 2


async def test_strangers_are_not_heard(room: Room) -> None:
    not_a_member = ("error", {"message": "You are not a member of this group"})
    await room.say(room.carol, "let me in")
    await room.carol.send("group_typing", groupId=room.id, typing=True)
    await room.carol.send("group_read", groupId=room.id, messageId="m")
    await room.carol.send("group_event", groupId=room.id, event="group_deleted")

    assert await room.carol.pending() == [not_a_member] * 4
    assert await room.alice.pending() == []


async def test_an_unknown_group(room: Room) -> None:
    await room.alice.send("group_message", groupId="unknown", content="hello?")

    assert await room.alice.pending() == [("error", {"message": "Invalid message format"})]


async def test_only_admins_speak_where_that_is_set(room: Room, alice: Person) -> None:
    settings = {"settings": {"messagePermission": "admins_only"}}
    await alice.call("PUT", f"/api/groups/{room.id}", settings)
    await room.say(room.bob, "may I?")
    await room.say(room.alice, "no")

    refusal = await room.bob.receive()
    assert refusal == ("error", {"message": "Only admins can send messages in this group."})
    assert (await room.bob.next("group_message"))["content"] == "no"


async def test_reading_and_typing_go_to_the_others(room: Room, alice: Person) -> None:
    await room.alice.send("group_read", groupId=room.id, messageId="m1")
    await room.alice.send("group_typing", groupId=room.id, typing=True)

    read = await room.bob.next("group_read")
    assert isinstance(read.pop("readAt"), int)
    assert read == {"messageId": "m1", "groupId": room.id, "userId": alice.id}
    assert await room.bob.next("group_typing") == {
        "groupId": room.id,
        "userId": alice.id,
        "username": "alice",
        "typing": True,
    }
    assert await room.alice.pending() == []


async def test_an_event_goes_to_all_members_as_it_came(room: Room) -> None:
    payload = {"groupId": room.id, "event": "renamed", "nested": {"n": [1, None, "é"]}}
    await room.bob.send("group_event", **payload)

    assert await room.bob.receive() == ("group_event", payload)
    assert await room.alice.receive() == ("group_event", payload)
    assert await room.carol.pending() == []


async def test_an_event_is_bounded(room: Room) -> None:
    await room.bob.send("group_event", groupId=room.id, event="x" * 70_000)

    assert await room.bob.pending() == [("error", {"message": "Invalid message format"})]


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("group_message", {"content": "x"}),
        ("group_message", {"groupId": 7, "content": "x"}),
        ("group_message", {"content": "x", "messageType": "video"}),
        ("group_message", {"content": "x", "imageData": "http://example.com/x.png"}),
        ("group_message", {"content": "x", "messageId": "x" * 257}),
        ("group_read", {"messageId": None}),
        ("group_typing", {"typing": "yes"}),
        ("group_event", {"groupId": None}),
    ],
)
async def test_malformed_group_frames(room: Room, kind: str, payload: dict[str, Any]) -> None:
    parts = {"groupId": room.id, **payload}
    if payload == {"content": "x"}:
        del parts["groupId"]
    await room.alice.send(kind, **parts)

    assert await room.alice.pending() == [("error", {"message": "Invalid message format"})]
    assert await room.bob.pending() == []


# ---------------------------------------------------------------- history


async def test_a_history_pages_both_ways(room: Room, bob: Person) -> None:
    for number in range(7):
        await room.say(room.alice, str(number))
    await room.alice.pending()
    rows = await history(bob, room)
    times = [row["timestamp"] for row in rows]

    def texts(page: list[dict[str, Any]]) -> str:
        return "".join(row["content"] for row in page)

    assert texts(rows) == "0123456"
    assert len(set(times)) == 7
    assert texts(await history(bob, room, "?limit=3")) == "456"
    assert texts(await history(bob, room, f"?limit=3&before={times[4]}")) == "123"
    assert texts(await history(bob, room, f"?limit=3&after={times[1]}")) == "234"
    assert texts(await history(bob, room, f"?after={times[1]}&before={times[4]}")) == "23"
    assert texts(await history(bob, room, f"?after={times[6]}")) == ""


@pytest.mark.parametrize("query", ["limit=x", "before=-1", "after=1e3"])
async def test_malformed_pages(room: Room, alice: Person, query: str) -> None:
    answer = await alice.call("GET", f"/api/groups/{room.id}/messages?{query}")

    assert answer.status == 400


async def test_a_member_reads_what_came_since_joining(database_path: Path) -> None:
    """Even where everything happened within one millisecond."""
    async with (
        Server(
            database_path, port=0, clock=lambda: 1_000_000, password_hasher=CHEAP_HASHER
        ) as server,
        raw_backend(server.url) as backend,
    ):
        alice, bob = await backend.register("alice"), await backend.register("bob")
        group = (await alice.call("POST", "/api/groups", {"name": "Team"})).body["id"]
        async with alice.online() as socket:
            for content in ("before", "after"):
                await socket.send("group_message", groupId=group, content=content)
                await socket.next("group_message")
                body = {"userIds": [bob.id]}
                await alice.call("POST", f"/api/groups/{group}/members", body)

        rows = await bob.get(f"/api/groups/{group}/messages")
        assert [row["content"] for row in rows] == ["alice added bob", "after"]


async def test_who_was_removed_hears_no_more(room: Room, alice: Person, bob: Person) -> None:
    await alice.call("DELETE", f"/api/groups/{room.id}/members/{bob.id}")
    await room.say(room.alice, "just us now")
    await room.alice.next("group_message")

    assert await room.bob.pending() == []
