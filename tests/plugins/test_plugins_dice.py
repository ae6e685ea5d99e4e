"""The design's example, to the letter, through everything that needs no running bot."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from doubles.plugin_world import BERLIN, MemoryBot, MemoryContext, MemoryGroup, on_the_loop, say

from chatbot.plugins.durations import Limit, Rate
from chatbot.plugins.loader import Loader
from chatbot.runtime.table import Table, build_table
from chatbot.runtime.triggers import build_trigger, check_schedules, next_fire

DATA: Final = Path(__file__).parent / "data"
NOW: Final = datetime(2026, 3, 6, 12, 0, tzinfo=BERLIN)


@pytest.fixture
def table() -> Table:
    loader = Loader(base=DATA, check=partial(check_schedules, zone=BERLIN, now=NOW))
    assembly = loader.load(["./dice.py"])
    assert assembly.problems == ()
    return build_table(assembly.compiled)


async def test_it_rolls(table: Table) -> None:
    (answer,) = await say(table, "/roll")
    assert int(answer) in range(1, 7)
    (answer,) = await say(table, "/R 1000 3")
    assert len(answer.split()) == 3
    (answer,) = await say(table, "@dicebot roll 2", group=MemoryGroup())
    assert answer in {"1", "2"}


async def test_a_wrong_argument_is_answered_with_usage(table: Table) -> None:
    for wrong in ("1", "six"):
        (answer,) = await say(table, f"/roll {wrong}")
        assert answer.splitlines() == [
            "sides: expected a whole number from 2 to 1000",
            f'got: "{wrong}"',
            "usage: /roll [sides=6] [count=1]",
        ]


async def test_its_filter_answers_in_groups_only(table: Table) -> None:
    assert await say(table, "what a good bot", group=MemoryGroup()) == ["Thank you!"]
    assert await say(table, "what a good bot") == []
    assert await say(table, "goodbot", group=MemoryGroup()) == []


async def test_its_job_is_due_on_weekdays_at_nine(table: Table) -> None:
    job = table.jobs["dice:job:standup"]
    assert job.schedule is not None
    assert job.misfire == "run-once"
    monday = datetime(2026, 3, 9, 9, 0, tzinfo=BERLIN)
    assert next_fire(build_trigger(job.schedule, BERLIN, NOW), NOW) == monday
    bot = MemoryBot()
    scope = MemoryContext(message=None, bot=bot)  # type: ignore[arg-type] # a job has none
    await (await job.bind(scope, {})).run(on_the_loop)
    assert bot.sent == [("team", "Stand-up in 10 minutes")]


def test_its_facts_are_what_it_says(table: Table) -> None:
    (command,) = table.commands.endpoints()
    assert command.limit == Limit(Rate(5, 10_000), "user")
    assert command.description == "Roll COUNT dice with SIDES sides."
    assert command.aliases == ("r",)
    assert table.plugins["dice"].plugin.description == "Roll dice"
