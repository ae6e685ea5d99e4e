"""The echo, on a real bot with a real backend."""

from __future__ import annotations

import pytest

from chatbot.testing import Person


@pytest.fixture
def bot_plugins() -> list[str]:
    return ["echo_bot"]


async def test_it_says_again_what_it_is_told(alice: Person) -> None:
    assert await alice.says('/echo  Hello,  "there" ') == 'Hello,  "there"'
    assert await alice.says("/SAY once more") == "once more"


async def test_it_asks_for_something_to_say(alice: Person) -> None:
    told = await alice.says("/echo")
    assert told.splitlines() == ["text: expected text", "got: nothing", "usage: /echo <text…>"]


async def test_it_keeps_to_itself_in_a_group(alice: Person, bob: Person) -> None:
    group = await alice.starts_group("Dev Team", bob)
    assert await group.says(bob, "/echo all together") == "all together"
