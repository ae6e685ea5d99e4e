"""The frames of PROTOCOL.md 3 as the real backend gets them from a client, field by field."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from doubles.clients import Clients, clients_on
from doubles.faulty_backend import Faults, FaultyServer
from doubles.pictures import PNG
from doubles.raw_client import raw_backend

from chatbot.client import WhatsAppClient
from chatbot.client.crypto.message import decode_content

DATA_URL = f"data:image/png;base64,{b64encode(PNG).decode()}"


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[FaultyServer]:
    """A backend with nothing that the real one has not, and that keeps what it hears."""
    async with FaultyServer(tmp_path / "b.db", faults=Faults(bare_protocol=True)) as it:
        yield it


@pytest.fixture
async def clients(backend: FaultyServer, tmp_path: Path) -> AsyncIterator[Clients]:
    """Clients on it."""
    async with clients_on(backend.url, tmp_path / "clients") as it:
        yield it


async def acquainted(clients: Clients) -> tuple[WhatsAppClient, WhatsAppClient]:
    """Two clients that have answered each other."""
    alice, bob = await clients.register("alice"), await clients.register("bob")
    await bob.receive_message(await alice.send_message("bob", "hello"))
    await alice.receive_message(await bob.send_message("alice", "hello yourself"))
    return alice, bob


async def test_the_login_and_the_probe_behind_it(backend: FaultyServer, clients: Clients) -> None:
    alice = await clients.register("alice")

    (probe,) = backend.heard("status")
    assert backend.heard("auth") == [{"userId": alice.user_id, "username": "alice"}]
    assert probe == {"to": alice.user_id, "messageId": probe["messageId"], "status": "sent"}


async def test_a_text_its_session_and_what_says_that_it_came(
    backend: FaultyServer, clients: Clients
) -> None:
    alice, bob = await acquainted(clients)
    sent = await alice.send_message("bob", "how are you?")
    await bob.receive_message(sent)
    await bob.send_message("alice", "fine")

    opening, _, bare, _ = backend.heard("message")
    for frame in (opening, bare):
        assert set(frame) == {"to", "content", "messageType", "encrypted", "messageId"}
        assert (frame["to"], frame["messageType"]) == (bob.user_id, "text")
        assert frame["encrypted"] is True
        content = json.loads(frame["content"])
        assert content["authTag"] == ""
        assert content["caps"] == ["image-1"]
        assert set(content["header"]) == {"ratchetKey", "previousChainLength", "messageNumber"}
        assert len(b64decode(content["ciphertext"])) > 40
    assert bare["messageId"] == sent.id
    assert "x3dh" not in json.loads(bare["content"])
    assert set(json.loads(opening["content"])["x3dh"]) == {
        "senderIdentityKey",
        "senderEphemeralKey",
        "usedSignedPrekeyId",
    }
    told = {"to": alice.user_id, "messageId": sent.id, "status": "delivered"}
    assert told in backend.heard("status")


async def test_a_picture_in_both_forms(backend: FaultyServer, clients: Clients) -> None:
    alice, bob = await acquainted(clients)
    async with raw_backend(backend.url) as raw:
        browser = await raw.register("browser")
        async with browser.online():
            shown = await alice.send_image("browser", PNG)
    hidden = await alice.send_image("bob", PNG, caption="look")
    await bob.receive_message(hidden)

    clear, encrypted = backend.heard("message")[-2:]
    assert clear == {
        "to": browser.id,
        "content": "📷 Image",
        "messageType": "image",
        "encrypted": False,
        "messageId": shown.id,
        "imageData": DATA_URL,
    }
    assert set(encrypted) == {"to", "content", "messageType", "encrypted", "messageId"}
    assert (encrypted["messageType"], encrypted["encrypted"]) == ("image", True)
    assert decode_content(encrypted["content"]).x3dh is None


async def test_what_is_read_and_who_is_typing(backend: FaultyServer, clients: Clients) -> None:
    alice, bob = await acquainted(clients)
    message = await bob.receive_message(await alice.send_message("bob", "read this"))
    await bob.send_typing("alice")
    await bob.send_typing("alice", typing=False)
    await bob.mark_as_read("alice", [message.id])
    await bob.send_message("alice", "I have")

    assert backend.heard("typing") == [
        {"to": alice.user_id, "typing": True},
        {"to": alice.user_id, "typing": False},
    ]
    assert backend.heard("read") == [{"to": alice.user_id, "messageIds": [message.id]}]


async def test_what_is_said_in_a_group(backend: FaultyServer, clients: Clients) -> None:
    alice = await clients.register("alice")
    group = await alice.create_group("Team")
    text = await alice.send_group_message(group.id, "hello")
    picture = await alice.send_group_image(group.id, PNG)
    await alice.send_group_typing(group.id)
    await alice.send_group_event(group.id, "wave", to="all")

    def said(**fields: Any) -> dict[str, Any]:
        return {"groupId": group.id, **fields}

    assert (text.status, picture.status) == ("sent", "sent")
    assert backend.heard("group_message") == [
        said(content="hello", messageType="text", messageId=text.id),
        said(content="📷 Image", messageType="image", messageId=picture.id, imageData=DATA_URL),
    ]
    await alice.send_group_typing(group.id, typing=False)
    await alice.send_group_message(group.id, "done")
    assert [frame["typing"] for frame in backend.heard("group_typing")] == [True, False]
    assert backend.heard("group_event") == [said(event="wave", to="all")]
    assert set(backend.heard("group_typing")[0]) == {"groupId", "typing"}
