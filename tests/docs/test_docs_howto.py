"""What the tutorial and the how-to pages say is done here, block by block, on a real backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from doubles.clients import PASSWORD, Clients, Collected, clients_on
from doubles.faulty_backend import CHEAP_HASHER
from doubles.pages import blocks, run
from doubles.pictures import PNG

from chatbot.client import IdentityError, Message, UsernameExistsError, WhatsAppClient
from chatbot.server import Server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path / "backend" / "b.db", port=0, password_hasher=CHEAP_HASHER) as it:
        yield it


@pytest.fixture
async def clients(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Clients]:
    """Everything that the pages write goes into the test's folder."""
    monkeypatch.chdir(tmp_path)
    async with clients_on(server.url, tmp_path / "clients") as it:
        yield it


async def run_all(page: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run a page from its top to its end."""
    for code in blocks(page):
        await run(code, names)
    return names


async def next_where(heard: Collected, wanted: str) -> Message:
    """The next message with that text."""
    while (message := await heard.next()).content != wanted:
        pass
    assert isinstance(message, Message)
    return message


class Tutorial:
    """The tutorial's script, running."""

    def __init__(self, url: str) -> None:
        self._names: dict[str, Any] = {"__name__": "answer", "url": url}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await run(blocks("tutorial.md")[0], self._names)
        self._names["SERVER"] = self._names["url"]
        self._task = asyncio.create_task(self._names["main"]())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def script(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Tutorial]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATBOT_PASSWORD", PASSWORD)
    it = Tutorial(server.url)
    yield it
    await it.stop()


class TestTutorial:
    async def test_the_script_answers_also_what_came_while_it_was_off(
        self, script: Tutorial, clients: Clients
    ) -> None:
        alice = await clients.register("alice")
        heard, presence = Collected(alice.on_message), Collected(alice.on_presence)
        await script.start()
        while not (await presence.next())[1]:
            pass
        await alice.send_message("machine", "hello")
        answer = await heard.next()
        assert (answer.content, answer.is_encrypted) == ("You wrote: hello", True)
        await script.stop()
        await alice.send_message("machine", "are you there?")
        await script.start()
        await next_where(heard, "You wrote: are you there?")

    async def test_the_blocks_behind_it(
        self, clients: Clients, capsys: pytest.CaptureFixture[str]
    ) -> None:
        client, alice = await clients.register("machine"), await clients.register("alice")
        heard = Collected(alice.on_message)
        statuses = Collected(client.on_message_status)
        names = {"client": client, "Message": Message, "WhatsAppClient": WhatsAppClient}
        for code in blocks("tutorial.md")[1:]:
            await run(code, names)
        await next_where(heard, "Lunch?")
        while (await statuses.next())[1] != "delivered":
            pass
        await alice.send_message("machine", "hello")
        await next_where(heard, "Who are you?")
        printed = capsys.readouterr().out
        assert "no user" in printed or "nobody-of-that-name" in printed


async def test_groups(clients: Clients) -> None:
    client = await clients.register("alice")
    others = [await clients.register(name) for name in ("bob", "carol", "dave")]
    heard = Collected(others[0].on_group_message)
    names = await run_all("howto/groups.md", {"client": client})
    assert (await heard.next()).content == "Hello, everybody!"
    group = await client.get_group(names["group"].id)
    assert group.description == "Who builds it, and why"
    members = {member.username for member in await client.get_group_members(group.id)}
    assert members == {"alice", "bob", "carol"}


async def test_images(clients: Clients, server: Server, tmp_path: Path) -> None:
    client, bob = await clients.register("alice"), await clients.register("bob")
    heard = Collected(bob.on_message)
    (tmp_path / "photo.png").write_bytes(PNG)
    names = await run_all("howto/images.md", {"client": client, "SERVER": server.url})
    assert names["sent"].is_encrypted is False  # bob has not said anything yet
    while (message := await heard.next()).image is None:
        pass
    assert message.image.data == PNG
    saved = Collected(client.on_message)  # called behind the page's handler
    await bob.send_image("alice", PNG, "mine")
    while (message := await saved.next()).image is None:
        pass
    assert (tmp_path / f"{message.id}.png").read_bytes() == PNG


async def test_verification(
    clients: Clients, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, bob = await clients.register("alice"), await clients.register("bob")
    shown = bob.get_fingerprint().lower()
    monkeypatch.setattr("builtins.input", lambda _question: shown)
    names = await run_all("howto/verification.md", {"client": client, "SERVER": server.url})
    assert (tmp_path / "me.png").stat().st_size > 0
    assert not await client.is_fingerprint_verified("bob")
    assert isinstance(names["pinning"], WhatsAppClient)


async def test_accepting_an_identity_that_waits(
    clients: Clients, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    bob = await clients.register("bob")
    names: dict[str, Any] = {"SERVER": server.url}
    settings, accepting = blocks("howto/verification.md")[-2:]
    await run(settings, names)
    client = names["client"] = names["pinning"]
    try:
        await client.register("alice", PASSWORD)
        before, changes = bob.get_fingerprint(), Collected(client.on_identity_changed)
        await client.send_message("bob", "hello")
        fingerprint = await bob.reset_encryption()
        await bob.send_message("alice", "it is me, honestly")
        await changes.until((bob.user_id, before, fingerprint))
        with pytest.raises(IdentityError):
            await client.accept_identity("bob", before)
        await run(accepting, names)
        assert fingerprint in capsys.readouterr().out
        assert await client.get_peer_fingerprint("bob") == fingerprint
    finally:
        await client.logout()


async def test_moving_from_the_browser(clients: Clients, server: Server) -> None:
    browser, bob = await clients.register("alice"), await clients.register("bob")
    heard = Collected(bob.on_message)
    sent = await bob.send_message("alice", "in the browser")
    await browser.receive_message(sent)
    await browser.send_message("bob", "yes")
    await next_where(heard, "yes")
    names: dict[str, Any] = {
        "SERVER": server.url,
        "password": PASSWORD,
        "seed": browser._account.key_ring.identity.seed,
        "session_json": await browser.export_session("bob"),
    }
    fingerprint = browser.get_fingerprint()
    await browser.logout()
    codes = blocks("howto/moving-from-the-browser.md")
    try:
        for code in codes:
            await run(code, names)
            if "import_session" in code:
                await names["client"].send_message("bob", "here I am again")
                await next_where(heard, "here I am again")
        assert names["fingerprint"] == names["client"].get_fingerprint() == fingerprint
        await names["client"].send_message("bob", "on another disk")
        await next_where(heard, "on another disk")
    finally:
        await names["client"].logout()


async def test_a_name_is_registered_once(clients: Clients) -> None:
    """What the tutorial's script relies on when it starts for the second time."""
    await clients.register("machine")
    with pytest.raises(UsernameExistsError):
        await clients.register("machine")
