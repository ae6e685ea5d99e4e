"""Peers that come back, and what waited for them until then (PROTOCOL.md 4.2.8)."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from doubles.browser import Browser
from doubles.clients import PASSWORD, Clients, Collected
from doubles.pictures import PNG
from doubles.raw_client import Person, PersonSocket, raw_backend

from chatbot import Message
from chatbot.client.crypto.session_manager import MAX_SESSIONS
from chatbot.server import Server

DATA_URL = f"data:image/png;base64,{b64encode(PNG).decode()}"


async def publish(person: Person, browser: Browser) -> None:
    await person.call("POST", "/api/users/prekeys", browser.upload())


async def messages(socket: PersonSocket, count: int) -> list[dict[str, Any]]:
    """The next messages, and that no others come behind them."""
    arrived = [await socket.next("message") for _ in range(count)]
    assert [kind for kind, _ in await socket.pending() if kind == "message"] == []
    return arrived


async def test_a_browser_that_was_reset_meanwhile_reads_what_waited(
    server: Server, clients: Clients
) -> None:
    alice = await clients.register("alice")
    statuses = Collected(alice.on_message_status)
    async with raw_backend(server.url) as backend:
        person, browser = await backend.register("browser"), Browser()
        await publish(person, browser)
        text = await alice.send_message("browser", "for later")
        picture = await alice.send_image("browser", PNG)
        assert (text.status, picture.status) == ("sent", "sent")
        browser.reset()
        await publish(person, browser)
        async with person.online() as socket:
            first, second = await messages(socket, 2)
            for message in (text, picture):
                await statuses.until((message.id, "delivered"))
        async with person.online() as socket:
            again = await messages(socket, 0)

    assert (first["id"], second["id"]) == (text.id, picture.id)
    assert "x3dh" in json.loads(first["content"])
    assert browser.decrypt(alice.user_id, first["content"]) == "for later"
    assert (second["content"], second["imageData"]) == ("📷 Image", DATA_URL)
    assert again == []


async def test_every_return_brings_what_waited_for_it(server: Server, clients: Clients) -> None:
    alice = await clients.register("alice")
    presence = Collected(alice.on_presence)
    async with raw_backend(server.url) as backend:
        person, browser = await backend.register("browser"), Browser()
        await publish(person, browser)
        for number in range(2):
            sent = await alice.send_message("browser", str(number))
            assert sent.status == "sent"
            async with person.online() as socket:
                (arrived,) = await messages(socket, 1)
            assert browser.decrypt(alice.user_id, arrived["content"]) == str(number)
            await presence.until((person.id, False))


async def test_one_that_came_too_briefly_and_answers_later_is_understood(
    server: Server, clients: Clients
) -> None:
    """What it reads then opened other sessions than what it got: more than are kept."""
    alice, bob = await clients.register("alice"), await clients.register("bob")
    heard, unreadable = Collected(alice.on_message), Collected(alice.on_undecryptable)
    await bob.logout()
    texts = [str(number) for number in range(MAX_SESSIONS + 1)]
    for text in texts:
        assert (await alice.send_message("bob", text)).status == "sent"
    async with raw_backend(server.url) as backend:
        credentials = {"username": "bob", "password": PASSWORD}
        account = (await backend.call("POST", "/api/auth/login", credentials)).body
        async with Person(backend, account).online() as socket:
            await messages(socket, len(texts))
    bob = clients.new()

    @bob.on_message
    async def answer(message: Message) -> None:
        await bob.send_message("alice", f"you said {message.content}")

    await bob.login("bob", PASSWORD)
    assert [(await heard.next()).content for _ in texts] == [f"you said {text}" for text in texts]
    assert unreadable.all == []
