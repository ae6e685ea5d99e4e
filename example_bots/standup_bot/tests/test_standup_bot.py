"""The dialog, the jobs and the store, on a real bot with a real backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chatbot.testing import ChatWorld, Person

HOUR = timedelta(hours=1)


@pytest.fixture
def bot_plugins() -> list[str]:
    return ["standup"]


def until_monday(world: ChatWorld, hour: int) -> timedelta:
    """How long it is until that hour of a Monday to come."""
    now = datetime.fromtimestamp(world.clock.now() / 1000, UTC)
    monday = now.replace(hour=hour, minute=0, second=0) + timedelta(days=7 - now.weekday())
    return monday - now


async def answer(person: Person, *answers: str) -> str:
    """Go through the dialog; what it ends with."""
    await person.says("/standup")
    for text in answers[:-1]:
        await person.says(text)
    return await person.says(answers[-1])


async def test_the_dialog(chat_world: ChatWorld, alice: Person) -> None:
    assert await alice.says("/standup") == "What did you get done?"
    assert await alice.says("the parser") == "What comes next?"
    await chat_world.restart_bot()
    assert await alice.says("its tests") == "Is anything in your way? (yes or no)"
    assert "expected yes or no" in await alice.says("perhaps")
    assert await alice.says("yes") == "What is it?"
    told = await alice.says("a broken build")
    lines = ["alice:", "  done: the parser", "  next: its tests", "  blocked: a broken build"]
    assert told.splitlines()[1:] == lines
    assert (await alice.says("/today")).splitlines() == lines


async def test_a_dialog_can_be_left(alice: Person) -> None:
    await alice.says("/standup")
    assert await alice.says("/cancel") == "Cancelled."
    assert await alice.says("/today") == "Nobody has said anything yet."


async def test_a_working_day(
    chat_world: ChatWorld, alice: Person, bob: Person, carol: Person
) -> None:
    for person in (alice, bob, carol):
        assert "You take part" in await person.says("/join")
    assert await carol.says("/leave") == "You take part no more."
    chat_world.advance(until_monday(chat_world, 8))
    assert (await answer(alice, "this", "that", "no")).endswith("done: this\n  next: that")
    chat_world.advance(HOUR)
    assert await bob.hears() == "Good morning! /standup takes a minute."
    await alice.hears_nothing()
    assert "Thank you" in await answer(bob, "a", "b", "no")
    chat_world.advance(HOUR)
    told = await alice.hears()
    assert set(told.splitlines()) == {
        *("alice:", "  done: this", "  next: that"),
        *("bob:", "  done: a", "  next: b"),
    }
    assert await bob.hears() == told
    await carol.hears_nothing()
