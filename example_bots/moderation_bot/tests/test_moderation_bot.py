"""A moderated group and an appeal, on a real bot with a real backend."""

from __future__ import annotations

from typing import Any

import pytest

from chatbot.testing import ChatWorld, Person


@pytest.fixture
def bot_plugins() -> list[str]:
    return ["moderation", "appeals"]


@pytest.fixture
def bot_options() -> dict[str, Any]:
    moderation = {"words": ["casino"], "steps": [{"points": 1, "action": "ban"}]}
    return {"owners": ["alice"], "sections": {"moderation": moderation}}


async def test_banned_appealed_and_let_in_again(
    chat_world: ChatWorld, alice: Person, bob: Person
) -> None:
    group = await alice.starts_group("Dev Team", bob)
    await alice.client.set_group_role(group.id, chat_world.bot.user.id, "admin")
    assert await group.says(alice, "/rules") == "This group has no rules yet."
    await bob.client.send_group_message(group.id, "Come to my CASIN0")
    assert await bob.says("/appeal It was a joke") == "The moderators will read it (appeal 1)."
    await chat_world.restart_bot()
    assert await alice.says("/appeals") == "1. @bob: It was a joke"
    assert await alice.says("/answer 1 All right") == "@bob will read it."
    assert await bob.hears() == "About your appeal: All right"
    assert await alice.says("/appeals") == "Nobody appeals."


async def test_one_appeal_at_a_time(alice: Person, bob: Person) -> None:
    assert "at most 500" in await bob.says(f"/appeal {'x' * 501}")
    await bob.says("/appeal please")
    assert "waits for an answer" in await bob.says("/appeal please")
    assert "moderator" in await bob.says("/appeals")
    assert "there is no appeal 7" in await alice.says("/answer 7 no")
