from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
import websockets
from doubles.raw_client import Person, PersonSocket, RawBackend

INVALID = ("error", {"message": "Invalid message format"})
ENVELOPE = json.dumps({"header": {"messageNumber": 0}, "ciphertext": "AAAA", "authTag": ""})
IMAGE = "data:image/png;base64," + base64.b64encode(b"\x89PNG....").decode()


async def say(socket: PersonSocket, to: Person, content: str = "hello", **changes: Any) -> None:
    payload = {"content": content, "messageType": "text", "encrypted": False, **changes}
    await socket.send("message", to=to.id, **payload)


async def history(reader: Person, peer: Person) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = await reader.get(f"/api/messages/{peer.id}?user={reader.id}")
    return rows


# ---------------------------------------------------------------- auth and online


async def test_auth_answers_with_who_is_online(
    backend: RawBackend, alice: Person, bob: Person
) -> None:
    async with bob.online(), backend.socket(alice.bearer) as socket:
        await socket.send("auth", userId=alice.id, username=alice.name)
        kind, payload = await socket.receive()

    assert kind == "online"
    assert sorted(payload["users"], key=lambda user: str(user["username"])) == [
        {"userId": alice.id, "username": "alice", "online": True},
        {"userId": bob.id, "username": "bob", "online": True},
    ]


async def test_coming_and_going_is_announced(alice: Person, bob: Person) -> None:
    async with alice.online() as watching:
        async with bob.online():
            came = await watching.receive()
        went = await watching.receive()

    entry = {"userId": bob.id, "username": "bob"}
    assert came == ("online", {**entry, "online": True})
    assert went == ("online", {**entry, "online": False})


async def test_an_unknown_user_is_told_so_and_closed(backend: RawBackend, alice: Person) -> None:
    async with backend.socket(alice.bearer) as socket:
        await socket.send("auth", userId="nobody", username="nobody")
        frames = await socket.until_closed()

    assert [kind for kind, _ in frames] == ["error"]


async def test_a_second_auth_closes_the_socket(alice: Person) -> None:
    async with alice.online() as socket:
        await socket.send("auth", userId=alice.id, username=alice.name)
        frames = await socket.until_closed()

    assert [kind for kind, _ in frames] == ["error"]


async def test_frames_before_auth_and_unknown_types_are_ignored(
    backend: RawBackend, alice: Person, bob: Person
) -> None:
    async with backend.socket(alice.bearer) as raw:
        await raw.send("message", to=bob.id, content="too early", messageType="text")
        await raw.send("auth", userId=alice.id, username=alice.name)
        assert (await raw.receive())[0] == "online"
        socket = PersonSocket(raw.socket, alice.id)
        await socket.send("dance", tempo=120)
        assert await socket.pending() == []
    assert await history(bob, alice) == []


async def test_a_second_login_replaces_the_first_socket(alice: Person, bob: Person) -> None:
    """And the first one's end changes nothing for the second."""
    async with bob.online() as talking, alice.online() as first:
        assert (await talking.next("online"))["online"] is True
        async with alice.online() as second:
            assert await first.until_closed() == []
            assert first.socket.close_code == 4001
            # The return of a user is announced, because it may be one without its keys.
            assert await talking.pending() == [
                ("online", {"userId": alice.id, "username": "alice", "online": True})
            ]
            await say(talking, alice)
            assert (await second.next("message"))["content"] == "hello"
            assert (await talking.next("message"))["status"] == "delivered"


async def test_a_close_handshake_is_answered(alice: Person) -> None:
    async with alice.online() as socket:
        await socket.socket.close(code=1000)
        assert socket.socket.close_code == 1000


# ---------------------------------------------------------------- message


async def test_a_message_is_forwarded_echoed_and_stored(alice: Person, bob: Person) -> None:
    async with alice.online() as sender, bob.online() as recipient:
        await say(sender, bob, messageId="m1")
        arrived = await recipient.next("message")
        echo = await sender.next("message")

    assert arrived == {
        "id": "m1",
        "from": alice.id,
        "to": bob.id,
        "content": "hello",
        "timestamp": echo["timestamp"],
        "status": "sent",
        "type": "text",
        "encrypted": False,
    }
    assert echo == {**arrived, "status": "delivered"}
    (row,) = await history(bob, alice)
    assert (row["id"], row["status"], row["encrypted"]) == ("m1", "delivered", 0)


async def test_a_message_to_somebody_offline_waits_in_the_history(
    alice: Person, bob: Person
) -> None:
    async with alice.online() as sender:
        await say(sender, bob)
        echo = await sender.next("message")

    assert echo["status"] == "sent"
    assert echo["id"]
    async with bob.online() as recipient:
        assert await recipient.pending() == []
    assert [row["id"] for row in await history(bob, alice)] == [echo["id"]]


async def test_a_message_to_oneself_arrives_and_is_echoed(alice: Person) -> None:
    async with alice.online() as socket:
        await say(socket, alice, messageId="m1")
        frames = await socket.pending()

    assert [payload["status"] for _, payload in frames] == ["sent", "delivered"]


async def test_a_repeated_id_is_forwarded_again_and_stored_once(alice: Person, bob: Person) -> None:
    async with alice.online() as sender:
        await say(sender, bob, "first", messageId="m1")
        assert (await sender.next("message"))["status"] == "sent"
        async with bob.online() as recipient:
            await say(sender, bob, "second", messageId="m1")
            arrived = await recipient.next("message")
            echo = await sender.next("message")

    assert (arrived["id"], arrived["content"]) == ("m1", "second")
    assert echo["status"] == "delivered"
    rows = await history(bob, alice)
    assert [(row["content"], row["status"]) for row in rows] == [("first", "delivered")]


@pytest.mark.parametrize(
    ("content", "claimed", "kept"),
    [
        (ENVELOPE, True, True),
        (ENVELOPE, False, False),
        ("E2EE:" + ENVELOPE, True, False),
        ("plain", True, False),
        ('{"header": {}}', True, False),
        ('{"ciphertext": ""}', True, False),
        ('["header", "ciphertext"]', True, False),
        ("[" * 100_000, True, False),
    ],
)
async def test_what_counts_as_encrypted(
    alice: Person, bob: Person, content: str, claimed: bool, kept: bool
) -> None:
    async with alice.online() as sender, bob.online() as recipient:
        await say(sender, bob, content, encrypted=claimed)
        arrived = await recipient.next("message")

    assert arrived["encrypted"] is kept
    assert arrived["content"] == content
    assert (await history(bob, alice))[0]["encrypted"] == int(kept)


async def test_a_picture_travels_beside_its_placeholder(alice: Person, bob: Person) -> None:
    async with alice.online() as sender, bob.online() as recipient:
        await say(sender, bob, "📷 Image", messageType="image", imageData=IMAGE)
        arrived = await recipient.next("message")

    assert (arrived["type"], arrived["imageData"]) == ("image", IMAGE)
    (row,) = await history(bob, alice)
    assert (row["type"], row["imageData"]) == ("image", IMAGE)


async def test_the_largest_picture_fits(alice: Person, bob: Person) -> None:
    data = "data:image/jpeg;base64," + base64.b64encode(bytes(5 * 1024 * 1024)).decode()
    async with alice.online() as sender, bob.online() as recipient:
        await say(sender, bob, "📷 Image", messageType="image", imageData=data)
        arrived = await recipient.next("message")

    assert arrived["imageData"] == data


@pytest.mark.parametrize(
    "changes",
    [
        {"content": None},
        {"content": 7},
        {"messageType": "video"},
        {"encrypted": "yes"},
        {"messageId": 7},
        {"messageId": "x" * 257},
        {"imageData": "javascript:alert(1)"},
        {"imageData": "data:image/png;base64," + "A" * 7_100_000},
        {"to": "nobody"},
        {"to": ["somebody"]},
        {"to": "x' OR '1'='1"},
    ],
)
async def test_a_message_that_cannot_be_served(
    alice: Person, bob: Person, changes: dict[str, Any]
) -> None:
    payload = {"to": bob.id, "content": "hello", "messageType": "text", **changes}
    async with alice.online() as sender, bob.online() as recipient:
        await sender.send("message", **payload)
        assert await sender.next_but("online") == INVALID
        await say(sender, bob, "still here")
        assert (await recipient.next("message"))["content"] == "still here"


# ---------------------------------------------------------------- the smaller frames


async def test_typing_is_forwarded(alice: Person, bob: Person) -> None:
    async with alice.online() as sender, bob.online() as recipient:
        await sender.send("typing", to=bob.id, typing=True)

        assert await recipient.next("typing") == {
            "from": alice.id,
            "username": "alice",
            "typing": True,
        }


async def test_a_status_is_forwarded_and_not_stored(alice: Person, bob: Person) -> None:
    async with alice.online() as author, bob.online() as reader:
        await say(author, bob, messageId="m1")
        await reader.next("message")
        await reader.send("status", to=alice.id, messageId="m1", status="read")

        assert await author.next("status") == {"messageId": "m1", "status": "read"}
    assert (await history(bob, alice))[0]["status"] == "delivered"


async def test_a_status_to_oneself_is_a_probe(alice: Person) -> None:
    async with alice.online() as socket:
        await socket.send("status", to=alice.id, messageId="nonce", status="probe")

        assert await socket.receive() == ("status", {"messageId": "nonce", "status": "probe"})


async def test_reading_is_stored_and_forwarded(alice: Person, bob: Person) -> None:
    async with alice.online() as author, bob.online() as reader:
        for number in (1, 2):
            await say(author, bob, messageId=f"m{number}")
            await reader.next("message")
        await reader.send("read", to=alice.id, messageIds=["m1", "m2"])

        assert await author.next("read") == {"messageIds": ["m1", "m2"], "readBy": bob.id}
    rows = await history(alice, bob)
    assert [row["status"] for row in rows] == ["read", "read"]
    assert all(row["readAt"] for row in rows)


async def test_nobody_reads_for_somebody_else(alice: Person, bob: Person, carol: Person) -> None:
    async with alice.online() as author, carol.online() as stranger:
        await say(author, bob, messageId="m1")
        await author.next("message")
        await stranger.send("read", to=alice.id, messageIds=["m1"])
        await author.next("read")

    assert (await history(alice, bob))[0]["status"] == "sent"


async def test_frames_to_somebody_offline_go_nowhere(alice: Person, bob: Person) -> None:
    async with alice.online() as socket:
        await socket.send("typing", to=bob.id, typing=True)
        await socket.send("status", to=bob.id, messageId="m", status="delivered")
        await socket.send("read", to=bob.id, messageIds=["m"])

        assert await socket.pending() == []


async def test_effects_keep_the_order_of_the_frames(alice: Person, bob: Person) -> None:
    """What needs the disk does not fall behind what does not."""
    async with alice.online() as sender, bob.online() as recipient:
        for number in range(200):
            await say(sender, bob, str(number))
            await sender.send("typing", to=bob.id, typing=number % 2 == 0)
        arrived = [await recipient.next_but("online") for _ in range(400)]
        echoes = [await sender.next("message") for _ in range(200)]

    assert [kind for kind, _ in arrived] == ["message", "typing"] * 200
    assert [payload["content"] for _, payload in arrived[::2]] == [str(n) for n in range(200)]
    assert [echo["content"] for echo in echoes] == [str(n) for n in range(200)]


# ---------------------------------------------------------------- what is no frame


NO_FRAMES: list[str | bytes] = [
    "",
    "hello",
    "{",
    "[]",
    "7",
    '"message"',
    "{}",
    '{"type": "message"}',
    '{"payload": {}}',
    '{"type": 7, "payload": {}}',
    '{"type": "message", "payload": null}',
    '{"type": "message", "payload": []}',
    '{"type": "message", "payload": {}}',
    '{"type": "typing", "payload": {"typing": true}}',
    '{"type": "status", "payload": {"to": "x", "messageId": "m", "status": "' + "s" * 99 + '"}}',
    '{"type": "read", "payload": {"to": "x", "messageIds": "m"}}',
    '{"type": "read", "payload": {"messageIds": []}}',
    '{"type": "message", "payload": ' + "[" * 50_000 + "]" * 50_000 + "}",
    '{"type": "message", "payload": {"to": "\\ud800", "content": "x"}}',
    b"\x00\xff binary",
    b'{"type": "typing", "payload": {"to": "x", "typing": true}}',
]


async def test_what_is_no_frame_is_an_error_and_nothing_more(alice: Person) -> None:
    async with alice.online() as socket:
        for frame in NO_FRAMES:
            await socket.send_raw(frame)

            assert await socket.pending() == [INVALID], frame[:50]


async def test_bad_json_before_auth(backend: RawBackend, alice: Person) -> None:
    async with backend.socket(alice.bearer) as socket:
        await socket.send_raw("{")
        assert await socket.receive() == INVALID
        await socket.send("auth", userId=alice.id, username=alice.name)
        assert (await socket.receive())[0] == "online"


async def test_text_that_is_not_utf8_closes_the_socket(alice: Person) -> None:
    async with alice.online() as socket:
        await socket.socket.send(b"\xff\xfe", text=True)
        await socket.until_closed()

        assert socket.socket.close_code == 1007


async def test_a_frame_over_the_limit_closes_the_socket(alice: Person) -> None:
    async with alice.online() as socket:
        with suppress(websockets.ConnectionClosed):
            await socket.socket.send("x" * (13 * 1024 * 1024))

        assert await socket.until_closed() == []
