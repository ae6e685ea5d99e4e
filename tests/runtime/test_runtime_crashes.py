"""Killed in the middle: what was promised holds all the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from doubles.bot_process import BotProcess
from doubles.stage import Stage

from chatbot.testing.world import Person

CRASH = """
import signal
from pathlib import Path

def crash(point: str) -> None:
    \"\"\"Die when this point is reached for the first time.\"\"\"
    marker = Path(__file__).with_name(f"died-{point}")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
async def killed(stage: Stage) -> AsyncIterator[BotProcess]:
    """A bot with the plugin `play`, which the test writes."""
    process = BotProcess(
        server_url=stage.server.url,
        storage_path=stage.folder / "bot",
        base=stage.folder,
        plugins=["./play.py"],
    )
    yield process
    process.kill()


async def revive(process: BotProcess, deaths: int) -> None:
    """Start it again after each of its deaths."""
    for _ in range(deaths):
        await process.died()
        await process.start()


async def test_a_handler_that_dies_at_every_step_does_each_of_them_once(
    stage: Stage, killed: BotProcess
) -> None:
    points = ("begin", "set", "reply", "incr", "cas", "send", "item")
    stage.write(
        "play",
        CRASH
        + """
@plugin.command()
async def work(ctx: Context) -> AsyncIterator[str]:
    crash("begin")
    await ctx.store.set("plain", await ctx.store.get("plain", int, 0) + 1)
    crash("set")
    await ctx.reply("replied")
    crash("reply")
    number = await ctx.store.incr("number")
    crash("incr")
    swapped = await ctx.store.compare_and_set("once", None, "taken")
    crash("cas")
    await ctx.bot.send(ctx.user.id, "sent")
    crash("send")
    yield f"{number} {swapped}"
    crash("item")
    yield "last item"

@plugin.command()
async def report(ctx: Context) -> str:
    return f"{await ctx.store.get('plain', int)} {await ctx.store.get('number', int)}"
""",
    )
    await killed.start()
    alice = await stage.person("alice")
    await alice.writes("/work")
    await revive(killed, len(points))
    heard = [await alice.hears() for _ in range(4)]
    assert heard == ["replied", "sent", "1 True", "last item"]
    assert await alice.says("/report") == "1 1"
    await alice.hears_nothing()


async def test_a_dialog_goes_on_where_it_was(stage: Stage, killed: BotProcess) -> None:
    stage.write(
        "play",
        CRASH
        + """
@plugin.command()
async def register(ctx: Context) -> str:
    name = await ctx.ask("Name?")
    crash("named")
    number = await ctx.store.incr("registered")
    age = await ctx.ask("Age?", int)
    crash("aged")
    return f"{number}: {name} is {age}"
""",
    )
    await killed.start()
    alice, bob = await stage.person("alice"), await stage.person("bob")
    assert await alice.says("/register") == "Name?"
    killed.kill()
    await killed.start()
    await alice.writes("Alice")
    await revive(killed, 1)
    assert await alice.hears() == "Age?"
    assert await bob.says("/register") == "Name?"
    killed.kill()
    await killed.start()
    assert "whole number" in await alice.says("old enough")
    await alice.writes("33")
    await revive(killed, 1)
    assert await alice.hears() == "1: Alice is 33"
    assert await bob.says("Bob") == "Age?"
    assert await bob.says("44") == "2: Bob is 44"
    await alice.hears_nothing()
    await bob.hears_nothing()


async def test_killed_at_any_time_everything_is_answered_once_and_in_order(
    stage: Stage, killed: BotProcess
) -> None:
    stage.write(
        "play",
        """
@plugin.command()
async def number(ctx: Context, number: int) -> str:
    total = await ctx.store.incr("stepped")
    await ctx.state.set("count", await ctx.state.get("count", int, 0) + 1)
    return str(number)

@plugin.command()
async def count(ctx: Context) -> str:
    return f"{await ctx.state.get('count', int)} {await ctx.store.get('stepped', int)}"
""",
    )
    chance = random.Random(1)
    people, messages, kills = 3, 25, 4
    await killed.start()
    everybody = [await stage.person(f"person{n}") for n in range(people)]

    async def write(person: Person) -> None:
        for number in range(messages):
            await person.writes(f"/number {number}")
            await asyncio.sleep(chance.uniform(0, 0.15))

    async def murder() -> None:
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.1, 0.8))
            killed.kill()
            await killed.start()

    await asyncio.gather(murder(), *map(write, everybody))
    for person in everybody:
        heard = [await person.hears() for _ in range(messages)]
        assert heard == [str(number) for number in range(messages)]
    for person in everybody:
        assert await person.says("/count") == f"{messages} {messages * people}"


async def test_a_job_that_dies_in_the_middle_sends_nothing_twice(
    stage: Stage, killed: BotProcess
) -> None:
    stage.write(
        "play",
        CRASH
        + """
@plugin.job()
async def remind(bot: Bot, store: Store, user: str) -> None:
    await bot.send(user, "one")
    crash("one")
    number = await store.incr("runs")
    crash("two")
    await bot.send(user, f"two {number}")

@plugin.command()
async def later(ctx: Context, scheduler: Scheduler) -> str:
    await scheduler.schedule("remind", after="50ms", arguments={"user": ctx.user.id})
    crash("scheduled")
    return "scheduled"
""",
    )
    await killed.start()
    alice = await stage.person("alice")
    await alice.writes("/later")
    await revive(killed, 3)
    assert sorted([await alice.hears() for _ in range(3)]) == ["one", "scheduled", "two 1"]
    await alice.hears_nothing()
