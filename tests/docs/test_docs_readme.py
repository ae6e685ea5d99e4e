"""The first page that anybody reads: its code works, and its links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from doubles.clients import PASSWORD, Clients, Collected, clients_on
from doubles.faulty_backend import CHEAP_HASHER
from doubles.pages import ROOT, blocks, run

from chatbot import WhatsAppClient
from chatbot.server import Server
from chatbot.testing import ChatWorld

README = "../README.md"
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


async def test_the_plugin(chat_world: ChatWorld, tmp_path: Path) -> None:
    (tmp_path / "dice.py").write_text(blocks(README)[0])
    await chat_world.start_bot(["./dice.py"], base=tmp_path)
    alice = await chat_world.person("alice")
    assert int(await alice.says("/roll 6")) in range(1, 7)
    shown = re.search(r"demo-bot: (sides: .*(?:\n    .*)+)", TEXT)
    assert shown is not None
    wanted = [line.strip() for line in shown[1].splitlines()]
    assert [line.strip() for line in (await alice.says("/roll x")).splitlines()] == wanted


async def test_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    async with (
        Server(tmp_path / "b.db", port=0, password_hasher=CHEAP_HASHER) as server,
        clients_on(server.url, tmp_path / "clients") as clients,
    ):
        await _send(server, clients)


async def _send(server: Server, clients: Clients) -> None:
    bob = await clients.register("bob")
    heard = Collected(bob.on_message)
    alice = await clients.register("alice")
    await alice.logout()
    names: dict[str, Any] = {"WhatsAppClient": WhatsAppClient, "password": PASSWORD}
    await run(blocks(README)[1].replace("https://chat.example", server.url), names)
    assert (await heard.next()).content == "Hello!"


def test_links_lead_to_pages() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_what_make_is_asked_for_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", TEXT)) <= targets


def test_the_version_of_python_is_the_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    least = project["requires-python"].removeprefix(">=")
    assert f"Python {least} or newer" in TEXT
