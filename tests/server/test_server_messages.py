from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from doubles.faulty_backend import CHEAP_HASHER
from doubles.raw_client import Answer, Person, raw_backend

from chatbot.server import Server


async def store(sender: Person, recipient: Person, number: int, **changes: Any) -> Answer:
    body = {
        "id": f"m{number}",
        "fromUser": sender.id,
        "toUser": recipient.id,
        "content": f"text {number}",
        "timestamp": 1_000 + number,
        "status": "sent",
        **changes,
    }
    return await sender.call("POST", "/api/messages", body)


async def history(reader: Person, peer: Person, query: str = "") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = await reader.get(
        f"/api/messages/{peer.id}?user={reader.id}{query}"
    )
    return rows


async def set_status(person: Person, ids: list[str], status: str) -> Answer:
    body = {"messageIds": ids, "status": status}
    return await person.call("PUT", "/api/messages/status", body)


async def test_a_stored_message_is_in_the_history_of_both(alice: Person, bob: Person) -> None:
    answer = await store(alice, bob, 1)

    assert answer.status == 201
    assert await history(alice, bob) == [
        {
            "id": "m1",
            "fromUser": alice.id,
            "toUser": bob.id,
            "content": "text 1",
            "timestamp": 1001,
            "status": "sent",
            "readAt": None,
            "type": "text",
            "imageData": None,
            "encrypted": 0,
        }
    ]
    assert await history(bob, alice) == await history(alice, bob)


async def test_a_stored_message_is_pushed_to_nobody(alice: Person, bob: Person) -> None:
    async with bob.online() as socket:
        await store(alice, bob, 1)
        assert await socket.pending() == []


async def test_a_history_ascends_and_can_begin_later(alice: Person, bob: Person) -> None:
    for number in (3, 1, 2):
        await store(alice, bob, number)

    assert [row["id"] for row in await history(bob, alice)] == ["m1", "m2", "m3"]
    assert [row["id"] for row in await history(bob, alice, "&after=1001")] == ["m2", "m3"]
    assert await history(bob, alice, "&after=1003") == []


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 400, "٣", ""])
async def test_a_malformed_beginning(alice: Person, bob: Person, after: str) -> None:
    answer = await alice.call("GET", f"/api/messages/{bob.id}?after={after}")

    assert answer.status == 400
    assert "after" in answer.error


async def test_conversations_are_kept_apart(alice: Person, bob: Person, carol: Person) -> None:
    await store(alice, bob, 1)
    await store(carol, alice, 2)

    assert [row["id"] for row in await history(alice, bob)] == ["m1"]
    assert [row["id"] for row in await history(alice, carol)] == ["m2"]
    assert await history(bob, carol) == []


async def test_a_long_history_is_one_array(alice: Person, bob: Person) -> None:
    """Longer than a page, and with rows of one time across its end."""
    text = "ü" * 100_000
    for number in range(15):
        await store(alice, bob, number, content=text, timestamp=7)

    rows = await history(alice, bob)

    assert [row["id"] for row in rows] == [f"m{number}" for number in range(15)]
    assert {row["content"] for row in rows} == {text}


async def test_a_time_to_come_is_not_believed(database_path: Path) -> None:
    async with (
        Server(database_path, port=0, clock=lambda: 5_000, password_hasher=CHEAP_HASHER) as server,
        raw_backend(server.url) as backend,
    ):
        alice, bob = await backend.register("alice"), await backend.register("bob")
        await store(alice, bob, 1, timestamp=2**53 - 1)

        assert [row["timestamp"] for row in await history(bob, alice)] == [5_000]


async def test_one_id_is_stored_once_per_sender(alice: Person, bob: Person) -> None:
    await store(alice, bob, 1)
    await store(alice, bob, 1, content="another text")
    await store(bob, alice, 1, content="the same id, but bob's")

    contents = [row["content"] for row in await history(alice, bob)]
    assert contents == ["text 1", "the same id, but bob's"]


async def test_the_recipient_advances_the_status(alice: Person, bob: Person) -> None:
    for number in (1, 2):
        await store(alice, bob, number)

    answer = await set_status(bob, ["m1", "m2", "unknown"], "read")
    rows = await history(alice, bob)

    assert answer.body == {"success": True, "updated": 2}
    assert [row["status"] for row in rows] == ["read", "read"]
    assert all(isinstance(row["readAt"], int) for row in rows)


async def test_a_status_never_goes_back(alice: Person, bob: Person) -> None:
    await store(alice, bob, 1)
    seen = []
    for status in ("delivered", "sent", "read", "delivered"):
        await set_status(bob, ["m1"], status)
        seen.append((await history(alice, bob))[0]["status"])

    assert seen == ["delivered", "delivered", "read", "read"]


async def test_nobody_else_advances_the_status(alice: Person, bob: Person, carol: Person) -> None:
    await store(alice, bob, 1)
    for person in (alice, carol):
        assert (await set_status(person, ["m1"], "read")).body["updated"] == 0

    assert (await history(alice, bob))[0]["status"] == "sent"


@pytest.mark.parametrize(
    ("ids", "status", "text"),
    [
        ([], "read", "No message IDs provided"),
        (["m"] * 101, "read", "at most 100"),
        (["m"], "eaten", "Invalid enum value"),
        ("m", "read", "array"),
        ([1], "read", "str"),
    ],
)
async def test_malformed_status_updates(alice: Person, ids: Any, status: str, text: str) -> None:
    answer = await set_status(alice, ids, status)

    assert answer.status == 400
    assert text in answer.error


async def test_a_hundred_ids_fit(alice: Person) -> None:
    assert (await set_status(alice, ["m"] * 100, "read")).status == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"toUser": "nobody"}, 404),
        ({"toUser": None}, 400),
        ({"id": "x" * 257}, 400),
        ({"timestamp": -1}, 400),
        ({"timestamp": 2**70}, 400),
        ({"status": "eaten"}, 400),
        ({"content": "x" * (10 * 1024 * 1024 + 1)}, 400),
        ({"content": "x" * (13 * 1024 * 1024)}, 413),
    ],
)
async def test_malformed_messages_are_not_stored(
    alice: Person, bob: Person, changes: dict[str, Any], status: int
) -> None:
    answer = await store(alice, bob, 1, **changes)

    assert answer.status == status
    assert answer.error
    assert await history(alice, bob) == []


async def test_text_goes_through_unchanged(alice: Person, bob: Person) -> None:
    text = "'; DROP TABLE messages; -- \u0000 \U0001f9a6 \u202e \\ \" \n"
    await store(alice, bob, 1, content=text)

    assert (await history(bob, alice))[0]["content"] == text
