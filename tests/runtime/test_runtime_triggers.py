from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from chatbot import Bot, Plugin
from chatbot.plugins.compiler import compile_plugin
from chatbot.plugins.endpoints import Schedule
from chatbot.plugins.errors import DeclarationError
from chatbot.runtime.triggers import build_trigger, check_schedules, next_fire

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 6, 12, 0, tzinfo=BERLIN)  # a Friday


def fires(schedule: Schedule, count: int = 1, now: datetime = NOW) -> list[str]:
    trigger = build_trigger(schedule, BERLIN, now)
    found: list[str] = []
    previous: datetime | None = None
    while len(found) < count and (previous := next_fire(trigger, now, previous)) is not None:
        found.append(f"{previous.astimezone(BERLIN):%a %Y-%m-%d %H:%M:%S}")
        now = previous + timedelta(microseconds=1)
    return found


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 9 * * mon-fri", ["Mon 2026-03-09 09:00:00", "Tue 2026-03-10 09:00:00"]),
        ("0 9 * * 1-5", ["Mon 2026-03-09 09:00:00", "Tue 2026-03-10 09:00:00"]),
        ("0 9 * * 0", ["Sun 2026-03-08 09:00:00", "Sun 2026-03-15 09:00:00"]),
        ("0 9 * * 7", ["Sun 2026-03-08 09:00:00", "Sun 2026-03-15 09:00:00"]),
        ("0 9 * * SUN-MON", ["Sun 2026-03-08 09:00:00", "Mon 2026-03-09 09:00:00"]),
        ("0 9 * * fri-sun", ["Sat 2026-03-07 09:00:00", "Sun 2026-03-08 09:00:00"]),
        ("0 9 * * sat-7", ["Sat 2026-03-07 09:00:00", "Sun 2026-03-08 09:00:00"]),
        ("0 9 * * */3", ["Sat 2026-03-07 09:00:00", "Sun 2026-03-08 09:00:00"]),
        ("0 9 * * 1/4", ["Mon 2026-03-09 09:00:00", "Fri 2026-03-13 09:00:00"]),
        ("0 9 13 * fri", ["Fri 2026-03-13 09:00:00", "Fri 2026-03-20 09:00:00"]),
        ("0 9 7 * fri", ["Sat 2026-03-07 09:00:00", "Fri 2026-03-13 09:00:00"]),
        ("*/30 12 6 mar *", ["Fri 2026-03-06 12:00:00", "Fri 2026-03-06 12:30:00"]),
    ],
)
def test_cron_means_what_crontab_means(cron: str, expected: list[str]) -> None:
    assert fires(Schedule(cron=cron), 2) == expected


def test_intervals_and_instants() -> None:
    assert fires(Schedule(every=90_000), 2) == [
        "Fri 2026-03-06 12:01:30",
        "Fri 2026-03-06 12:03:00",
    ]
    assert fires(Schedule(at="2026-03-07 09:00"), 2) == ["Sat 2026-03-07 09:00:00"]
    instant = datetime(2026, 3, 7, 9, 0, tzinfo=UTC)
    assert fires(Schedule(at=instant), 2) == ["Sat 2026-03-07 10:00:00"]
    assert fires(Schedule(at=instant.replace(tzinfo=None))) == ["Sat 2026-03-07 09:00:00"]


def test_a_zone_of_its_own() -> None:
    assert fires(Schedule(cron="0 9 * * *", timezone="America/New_York")) == [
        "Fri 2026-03-06 15:00:00"
    ]


def test_jitter_runs_later_and_never_earlier() -> None:
    trigger = build_trigger(Schedule(every=60_000, jitter=30_000), BERLIN, NOW)
    found = [next_fire(trigger, NOW) for _ in range(50)]
    assert all(f and timedelta(minutes=1) <= f - NOW <= timedelta(seconds=90) for f in found)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (Schedule(cron="* * * *"), "does not have five fields"),
        (Schedule(cron="60 * * * *"), "cron='60 "),
        (Schedule(cron="* * * * someday"), "'someday' is no day of the week"),
        (Schedule(cron="* * * * 1-xyz"), "cron="),
        (Schedule(cron="* * * * 8"), "'8' is no day of the week"),
        (Schedule(every=1000, timezone="Mars/Olympus"), "timezone='Mars/Olympus' is not known"),
        (Schedule(every=1000, timezone="../etc/passwd"), "is not known"),
        (Schedule(at="soon"), "at='soon' is no date and time"),
        (Schedule(at="soon", timezone=""), "timezone=''"),
    ],
)
def test_what_is_no_time_is_refused(schedule: Schedule, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        build_trigger(schedule, BERLIN, NOW)


async def tick(bot: Bot) -> None: ...


def test_all_wrong_times_of_a_plugin_are_reported_with_their_lines() -> None:
    def job(name: str, **when: Any) -> None:
        plugin.job(name, **when)(tick)

    plugin = Plugin("demo")
    job("fine", cron="0 9 * * *")
    job("whenever")
    job("never", cron="0 0 31 2 *")
    job("wrong", cron="x * * * *")
    compiled, problems = compile_plugin(plugin)
    assert problems == ()
    found = list(check_schedules(compiled, BERLIN, NOW))
    assert [problem.message.partition(":")[0] for problem in found] == [
        "job 'never'",
        "job 'wrong'",
    ]
    assert found[0].message == "job 'never': cron='0 0 31 2 *' never fires"
    assert all(str(problem.source).startswith(__file__) for problem in found)


def test_a_cron_line_fires_across_a_change_of_clocks() -> None:
    before = datetime(2026, 3, 28, 12, 0, tzinfo=BERLIN)
    assert fires(Schedule(cron="30 9 * * *"), 2, before) == [
        "Sun 2026-03-29 09:30:00",
        "Mon 2026-03-30 09:30:00",
    ]
