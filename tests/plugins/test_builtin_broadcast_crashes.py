"""Killed in the middle of a broadcast: everybody gets it, and nobody gets it twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles.bot_process import BotProcess
from doubles.stage import Stage

from chatbot.testing import Person

RECIPIENTS = 16
FEW = 8

CRASHING = """
import signal
from pathlib import Path

said = []

def crash(point):
    marker = Path(__file__).with_name(f"died-{point}")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)

@plugin.middleware("outbound")
async def die(out, call_next):
    sent = await call_next(out)
    if out.plugin == "broadcast":
        said.append(out.chat.id)
        crash(len(said))
    return sent

@plugin.job()
async def standup(bot: Bot, store: Store) -> None:
    await bot.broadcast("few", f"Stand-up {await store.incr('runs')}")
    await bot.broadcast("few", "in 10 minutes")
    crash("job")

@plugin.command(privileged=True)
async def later(scheduler: Scheduler) -> str:
    await scheduler.schedule("standup", after="50ms")
    return "scheduled"
"""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage(tmp_path) as it:
        yield it


@pytest.fixture
async def killed(stage: Stage) -> AsyncIterator[BotProcess]:
    """A bot that broadcasts, and a plugin `crashing` where a test writes one."""
    stage.write("crashing", "")
    process = BotProcess(
        server_url=stage.server.url,
        storage_path=stage.folder / "bot",
        base=stage.folder,
        plugins=["broadcast", "./crashing.py"],
        owners=["alice"],
        sections={
            "broadcast": {
                "rate": "7/100ms",
                "audiences": {
                    "team": [f"person{n}" for n in range(RECIPIENTS)],
                    "few": [f"person{n}" for n in range(FEW)],
                },
            }
        },
    )
    yield process
    process.kill()


async def gather(stage: Stage, count: int) -> tuple[Person, list[Person]]:
    """The owner, and the audience."""
    people = [await stage.person(f"person{n}") for n in range(count)]
    return await stage.person("alice"), people


async def each_hears(people: list[Person], *texts: str) -> None:
    """Everybody hears these, in any order, and nothing else."""
    for person in people:
        assert sorted([await person.hears() for _ in texts]) == sorted(texts)
    for person in people:
        await person.hears_nothing()


async def test_killed_while_a_batch_is_made(stage: Stage, killed: BotProcess) -> None:
    points = (1, 5, 12)
    marks = "\n    ".join(f"if len(said) == {n}: crash({n})" for n in points)
    stage.write("crashing", CRASHING.replace("    crash(len(said))", f"    {marks}", 1))
    await killed.start()
    alice, people = await gather(stage, RECIPIENTS)
    await alice.writes("/announce now team news")
    for _ in points:
        await killed.died()
        await killed.start()
    assert "has begun" in await alice.hears()
    await each_hears(people, "news")
    told = await alice.says("/broadcast report 1")
    assert f"done: {RECIPIENTS} of {RECIPIENTS} sent, {RECIPIENTS} delivered" in told


async def test_killed_at_any_time(stage: Stage, killed: BotProcess) -> None:
    chance = random.Random()  # whenever it is, the same holds
    await killed.start()
    alice, people = await gather(stage, RECIPIENTS)
    assert "has begun" in await alice.says("/announce now team news")
    for _ in range(3):
        await asyncio.sleep(chance.uniform(0, 0.2))
        killed.kill()
        await killed.start()
    await each_hears(people, "news")


async def test_a_job_that_is_killed_broadcasts_once(stage: Stage, killed: BotProcess) -> None:
    stage.write("crashing", CRASHING.replace("crash(len(said))", "pass", 1))
    await killed.start()
    alice, people = await gather(stage, FEW)
    await alice.writes("/later")
    await killed.died()
    await killed.start()
    await each_hears(people, "Stand-up 1", "in 10 minutes")
