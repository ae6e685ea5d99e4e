"""A client of ours and a browser on the embedded backend, which asks the browser for no proof."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles.browser import Browser
from doubles.clients import Clients, Collected, clients_on
from doubles.faulty_backend import CHEAP_HASHER
from doubles.raw_client import RawBackend, raw_backend

from chatbot.server import Server


@pytest.fixture
async def lax(tmp_path: Path) -> AsyncIterator[Server]:
    """A backend that believes browsers."""
    path = tmp_path / "lax" / "b.db"
    async with Server(path, port=0, browser_compat=True, password_hasher=CHEAP_HASHER) as it:
        yield it


@pytest.fixture
async def backend(lax: Server) -> AsyncIterator[RawBackend]:
    async with raw_backend(lax.url) as it:
        yield it


@pytest.fixture
async def clients(lax: Server, tmp_path: Path) -> AsyncIterator[Clients]:
    async with clients_on(lax.url, tmp_path / "clients") as it:
        yield it


async def test_a_talk_and_its_history(backend: RawBackend, clients: Clients) -> None:
    """Tokens go with keys only, and none with the socket or what was said."""
    alice = await clients.register("alice")
    heard = Collected(alice.on_message)
    person, browser = await backend.register("browser"), Browser()
    await person.call("POST", "/api/users/prekeys", browser.upload(browser.refill(3)))
    bundle = await person.get(f"/api/users/{alice.user_id}/prekeys")
    async with backend.socket() as socket:
        await socket.send("auth", userId=person.id, username=person.name)
        users = (await socket.next("online"))["users"]
        content = browser.encrypt(alice.user_id, "hello", bundle)
        await socket.send(
            "message",
            to=alice.user_id,
            content=content,
            messageType="text",
            encrypted=True,
            messageId="from the browser",
        )
        assert (await socket.next("message"))["status"] == "delivered"
        assert (await heard.next()).content == "hello"
        assert await socket.next("status") == {
            "messageId": "from the browser",
            "status": "delivered",
        }
        reply = await alice.send_message("browser", "hello, browser")
        answer = await socket.next("message")
    history = await backend.call("GET", f"/api/messages/{alice.user_id}?user={person.id}")

    assert alice.user_id in {user["userId"] for user in users if user["online"]}
    assert reply.status == "delivered"
    assert browser.decrypt(alice.user_id, answer["content"]) == "hello, browser"
    assert [(row["id"], row["encrypted"]) for row in history.body] == [
        ("from the browser", 1),
        (reply.id, 1),
    ]


async def test_a_group(backend: RawBackend, clients: Clients) -> None:
    """The browser says who it is, and is believed."""
    alice = await clients.register("alice")
    heard = Collected(alice.on_group_message)
    person = await backend.register("browser")
    bare = {"Authorization": f"Bearer {person.id}"}
    body = {"name": "Team", "memberIds": [alice.user_id]}
    group = (await backend.call("POST", "/api/groups", body, headers=bare)).body["id"]
    async with backend.socket() as socket:
        await socket.send("auth", userId=person.id, username=person.name)
        await socket.next("online")
        await socket.send("group_message", groupId=group, content="hi", messageType="text")
        mine = await socket.next("group_message")
        said = await heard.next()
        reply = await alice.send_group_message(group, "hi yourself")
        theirs = await socket.next("group_message")
    path = f"/api/groups/{group}/messages?limit=200"
    rows = (await backend.call("GET", path, headers=bare)).body

    assert (said.id, said.content, said.from_username) == (mine["id"], "hi", "browser")
    assert (reply.status, theirs["content"], theirs["from_username"]) == (
        "sent",
        "hi yourself",
        "alice",
    )
    assert [row["content"] for row in rows if not row["system_event"]] == ["hi", "hi yourself"]
