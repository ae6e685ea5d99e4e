"""Announcements and the digest, on a real bot with a real backend."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chatbot.testing import ChatWorld, Person

NEXT_WEEK = timedelta(days=7)


@pytest.fixture
def bot_plugins() -> list[str]:
    return ["broadcast", "notices"]


@pytest.fixture
def bot_options() -> dict[str, Any]:
    sections = {"broadcast": {"open": ["news"]}, "notices": {"most": 2}}
    return {"owners": ["alice"], "sections": sections}


async def test_what_was_handed_in_goes_out_once(
    chat_world: ChatWorld, alice: Person, bob: Person
) -> None:
    await bob.says("/subscribe")
    await alice.says("/notice The office is closed on Monday")
    await bob.says("/notice The kitchen has a new kettle")
    digest = (
        "This week:\n- The office is closed on Monday (alice)\n- The kitchen has a new kettle (bob)"
    )
    assert await alice.says("/digest") == digest
    await chat_world.restart_bot()
    chat_world.advance(NEXT_WEEK)
    assert await bob.hears() == digest
    chat_world.advance(NEXT_WEEK)
    await bob.hears_nothing()
    assert await alice.says("/digest") == "Nothing was handed in yet."


async def test_nobody_fills_it_alone(alice: Person) -> None:
    assert "at most 500" in await alice.says(f"/notice {'x' * 501}")
    for _ in range(2):
        assert await alice.says("/notice me again") == "It will be in the next digest."
    assert "2 for the next digest already" in await alice.says("/notice me again")


async def test_the_owner_announces(alice: Person, bob: Person) -> None:
    await bob.says("/subscribe")
    assert "has begun" in await alice.says("/announce now news Come to the kitchen")
    assert await bob.hears() == "Come to the kitchen"
    assert "admin" in await bob.says("/announce now news Come to my desk")
