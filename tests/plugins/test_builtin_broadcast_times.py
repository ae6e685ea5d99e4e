"""When something is announced: as it is written, and as the clock goes on."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from doubles.plugin_world import BERLIN

from chatbot.plugins.builtin.broadcast.announcer import When
from chatbot.plugins.builtin.broadcast.times import parse_when
from chatbot.runtime.runtime import BotRuntime
from chatbot.testing import ChatWorld, Person

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=BERLIN)
NEW_YORK = ZoneInfo("America/New_York")


def test_what_times_are_written_like() -> None:
    nine = NOON.replace(hour=9)
    assert parse_when("NOW", NOON) == When()
    assert parse_when("1h30m", NOON) == When(at=NOON + timedelta(minutes=90))
    assert parse_when("9:00", NOON) == When(at=nine + timedelta(days=1))
    assert parse_when("tomorrow 9:00", NOON) == When(at=nine + timedelta(days=1))
    assert parse_when("2026-03-09 9:00", NOON) == When(at=nine + timedelta(days=7))
    assert parse_when("0 9  * * mon", NOON) == When(cron="0 9 * * mon")


@pytest.mark.parametrize("wrong", ["", "soon", "-5m", "0 9 * *", "2026-02-30 9:00", "25:00", "0s"])
def test_what_is_no_time(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"not a|month|hour"):
        parse_when(wrong, NOON)


async def start(world: ChatWorld) -> tuple[Person, Person]:
    await world.start_bot(
        ["broadcast"],
        owners=["alice"],
        sections={"broadcast": {"audiences": {"team": ["bob"]}}},
        timezone=NEW_YORK,
    )
    return await world.person("alice"), await world.person("bob")


def now(bot: BotRuntime) -> datetime:
    return bot._parts.world.now()  # type: ignore[union-attr] # it runs


def until(moment: datetime, bot: BotRuntime) -> timedelta:
    """How long it is; across a change of the clocks too."""
    return moment.astimezone(BERLIN) - now(bot).astimezone(BERLIN)


def next_monday(bot: BotRuntime) -> datetime:
    today = now(bot).replace(hour=9, minute=0, second=0, microsecond=0)
    days = (-today.weekday()) % 7
    return today + timedelta(days=days if today + timedelta(days=days) > now(bot) else 7)


async def test_every_monday_in_the_bots_time_zone(chat_world: ChatWorld) -> None:
    alice, bob = await start(chat_world)
    monday = next_monday(chat_world.bot)
    told = await alice.says('/announce "0 9 * * mon" team Stand-up in 10 minutes')
    line = f'1. Mon {monday:%Y-%m-%d} 09:00, then "0 9 * * mon", to team: Stand-up in 10 minutes'
    assert told == f"Scheduled as {line}"
    chat_world.advance(until(monday, chat_world.bot) - timedelta(minutes=1))
    await bob.hears_nothing()
    await chat_world.restart_bot()
    for _ in range(2):
        chat_world.advance(until(next_monday(chat_world.bot), chat_world.bot))
        assert await bob.hears() == "Stand-up in 10 minutes"
    assert await alice.says("/announcements cancel 1") == "Announcement 1 is cancelled."
    assert await alice.says("/announcements") == "Nothing is scheduled."
    chat_world.advance(timedelta(days=7))
    await bob.hears_nothing()
    assert "no announcement 1" in await alice.says("/announcements cancel 1")


async def test_once_in_a_while_and_once_at_a_time(chat_world: ChatWorld) -> None:
    alice, bob = await start(chat_world)
    at = now(chat_world.bot) + timedelta(days=3)
    await alice.says(f'/announce "{at:%Y-%m-%d %H:%M}" team later')
    await alice.says("/announce 10m team sooner")
    sooner, later = (await alice.says("/announcements")).splitlines()
    assert sooner.endswith("to team: sooner")
    assert later == f"1. {at:%a %Y-%m-%d %H:%M}, to team: later"
    chat_world.advance(timedelta(minutes=10))
    assert await bob.hears() == "sooner"
    chat_world.advance(timedelta(days=3))
    assert await bob.hears() == "later"
    chat_world.advance(timedelta(days=30))
    await bob.hears_nothing()
    assert await alice.says("/announcements") == "Nothing is scheduled."


async def test_what_was_due_while_the_bot_was_down_goes_out_once(chat_world: ChatWorld) -> None:
    alice, bob = await start(chat_world)
    await alice.says('/announce "0 9 * * *" team daily')
    await chat_world.bot.stop()
    chat_world.advance(timedelta(days=5))
    await chat_world.restart_bot()
    assert await bob.hears() == "daily"
    await bob.hears_nothing()
