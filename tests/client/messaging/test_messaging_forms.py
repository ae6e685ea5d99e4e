"""Messages in the old and odd forms that others send, live and in histories."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from doubles.browser import Browser
from doubles.clients import PASSWORD, Clients, Collected, clients_on
from doubles.faulty_backend import CHEAP_HASHER
from doubles.pictures import PNG
from doubles.raw_client import Person, PersonSocket, raw_backend

from chatbot.client.models import Message
from chatbot.server import Server

DATA_URL = f"data:image/png;base64,{b64encode(PNG).decode()}"


class Stranger:
    """Somebody with a browser's encryption, who sends what a test wants sent."""

    def __init__(self, person: Person, socket: PersonSocket) -> None:
        self.person = person
        self.socket = socket
        self.browser = Browser()

    async def publish(self) -> None:
        await self.person.call("POST", "/api/users/prekeys", self.browser.upload())

    async def encrypt(self, to: str, text: str) -> str:
        bundle = await self.person.get(f"/api/users/{to}/prekeys")
        return self.browser.encrypt(to, text, bundle)

    async def send(self, to: str, content: str, **fields: Any) -> None:
        frame = {"messageType": "text", "encrypted": False, **fields}
        await self.socket.send("message", to=to, content=content, **frame)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path / "b.db", port=0, password_hasher=CHEAP_HASHER) as it:
        yield it


@pytest.fixture
async def clients(server: Server, tmp_path: Path) -> AsyncIterator[Clients]:
    async with clients_on(server.url, tmp_path / "clients") as it:
        yield it


@pytest.fixture
async def stranger(server: Server) -> AsyncIterator[Stranger]:
    async with raw_backend(server.url) as backend:
        person = await backend.register("stranger")
        async with person.online() as socket:
            it = Stranger(person, socket)
            await it.publish()
            yield it


async def test_the_prefix_of_the_specification_wherever_it_is_read(
    clients: Clients, stranger: Stranger
) -> None:
    alice = await clients.register("alice")
    me = alice.user_id
    heard = Collected(alice.on_message)
    await stranger.send(me, "E2EE:" + await stranger.encrypt(me, "live"), messageId="m1")
    live: Message = await heard.next()
    await alice.logout()
    await stranger.send(me, "E2EE:" + await stranger.encrypt(me, "missed"), messageId="m2")
    alice = clients.new()
    heard, unread = Collected(alice.on_message), Collected(alice.on_undecryptable)
    await alice.login("alice", PASSWORD)
    missed: Message = await heard.next()
    kept = await alice.get_messages("stranger", sync=True)

    assert [(m.id, m.content, m.is_encrypted) for m in (live, missed)] == [
        ("m1", "live", True),
        ("m2", "missed", True),
    ]
    assert [m.id for m in kept] == ["m1", "m2"]
    assert unread.all == []


async def test_plaintext_is_told_apart(clients: Clients, stranger: Stranger) -> None:
    alice = await clients.register("alice")
    heard = Collected(alice.on_message)
    await stranger.send(alice.user_id, "my encryption failed", messageId="m1")
    await stranger.send(alice.user_id, '{"header":{},"ciphertext":""}', messageId="m2")
    said: list[Message] = [await heard.next(), await heard.next()]

    assert [(m.id, m.is_encrypted) for m in said] == [("m1", False), ("m2", False)]


async def test_a_browsers_picture(clients: Clients, stranger: Stranger) -> None:
    alice = await clients.register("alice")
    heard = Collected(alice.on_message)
    picture = {"messageType": "image", "imageData": DATA_URL, "messageId": "m1"}
    await stranger.send(alice.user_id, "📷 Image", **picture)
    said: Message = await heard.next()

    assert (said.type, said.content, said.is_encrypted) == ("image", "📷 Image", False)
    assert said.image is not None
    assert (said.image.data, said.image.mime, said.image.caption) == (PNG, "image/png", "")


async def test_an_encrypted_picture_in_both_directions(
    clients: Clients, stranger: Stranger
) -> None:
    alice = await clients.register("alice")
    me = alice.user_id
    heard = Collected(alice.on_message)
    picture = {"mime": "image/png", "data": b64encode(PNG).decode(), "caption": "look"}
    content = await stranger.encrypt(me, json.dumps({**picture, "name": "cat.png"}))
    capable = json.dumps({**json.loads(content), "caps": ["image-1", "else"]})
    await stranger.send(me, capable, messageType="image", encrypted=True)
    received: Message = await heard.next()
    await alice.send_image("stranger", PNG, caption="look")
    sent = await stranger.socket.next("message")
    while sent["from"] == stranger.person.id:
        sent = await stranger.socket.next("message")

    assert (received.content, received.is_encrypted) == ("look", True)
    assert received.image is not None
    assert received.image.data == PNG
    assert (received.image.caption, received.image.name) == ("look", "cat.png")
    assert (sent["type"], sent["encrypted"], "imageData" in sent) == ("image", True, False)
    assert json.loads(stranger.browser.decrypt(me, sent["content"])) == picture
