"""The world for plugin authors: a real backend, a real bot, people, and a clock that moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from chatbot.testing import ChatWorld

COUNTER = '''
"""A counter, and a reminder."""
from datetime import timedelta

from chatbot import Bot, Context, Plugin, Store

plugin = Plugin("counter", description="Count")


@plugin.command("count")
async def count(store: Store) -> str:
    """Count one up."""
    return str(await store.incr("count"))


@plugin.command("subscribe")
async def subscribe(ctx: Context, store: Store) -> str:
    """Be told every day."""
    await store.set("who", ctx.user.id)
    return "subscribed"


@plugin.job(every="1d")
async def tell(bot: Bot, store: Store) -> None:
    """Tell who subscribed."""
    await bot.send(await store.get("who", str), "a day has passed")
'''


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ChatWorld]:
    async with ChatWorld(tmp_path) as it:
        yield it


@pytest.fixture
def counter(tmp_path: Path) -> str:
    file = tmp_path / "counter.py"
    file.write_text(COUNTER)
    return str(file)


async def test_somebody_says_something_and_hears_the_answer(world: ChatWorld) -> None:
    await world.start_bot([])
    alice = await world.person("alice")
    assert await alice.says("/ping") == "pong"
    await alice.hears_nothing()


async def test_the_store_survives_a_restart_of_the_bot(world: ChatWorld, counter: str) -> None:
    await world.start_bot([counter])
    alice = await world.person("alice")
    assert await alice.says("/count") == "1"
    await world.restart_bot()
    assert await alice.says("/count") == "2"


async def test_jobs_run_when_the_clock_moves(world: ChatWorld, counter: str) -> None:
    await world.start_bot([counter])
    alice = await world.person("alice")
    assert await alice.says("/subscribe") == "subscribed"
    world.advance(timedelta(days=1, minutes=1))
    assert await alice.hears() == "a day has passed"


async def test_an_unanswered_person_says_so(world: ChatWorld) -> None:
    await world.start_bot([])
    alice = await world.person("alice")
    with pytest.raises(AssertionError, match="heard nothing"):
        await alice.hears(seconds=0.01)


async def test_a_group_with_the_bot_in_it(world: ChatWorld) -> None:
    await world.start_bot([])
    alice, bob = await world.person("alice"), await world.person("bob")
    group = await alice.starts_group("Lunch", bob)
    assert await group.says(alice, "/ping") == "pong"
    assert await group.says(bob, "/ping") == "pong"
