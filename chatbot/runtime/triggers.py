"""When jobs run: APScheduler's triggers, made from what authors and people write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from chatbot.plugins.endpoints import CompiledPlugin, Schedule
from chatbot.plugins.errors import DeclarationError, Problem

_FIELDS: Final = ("minute", "hour", "day", "month", "day_of_week")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAYS: Final = re.compile(r"(?:\*|([a-z]{3}|[0-7])(?:-([a-z]{3}|[0-7]))?)(?:/([1-7]))?", re.ASCII)


class Trigger(Protocol):
    """What APScheduler's triggers have in common."""

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """The next time, not before `now`, with jitter; None where there is none."""


def build_trigger(schedule: Schedule, zone: tzinfo, start: datetime) -> Trigger:
    """The trigger for a schedule.

    Args:
        schedule: as declared or asked for.
        zone: the bot's, where the schedule names none.
        start: aware; what `every` counts from.

    Raises:
        DeclarationError: an unknown time zone, or something that is no time.
    """
    from apscheduler.triggers.date import DateTrigger  # noqa: PLC0415 - only where there are jobs
    from apscheduler.triggers.interval import IntervalTrigger  # noqa: PLC0415 - the same

    zone = _zone(schedule.timezone) if schedule.timezone is not None else zone
    jitter = schedule.jitter / 1000 or None
    if schedule.cron is not None:
        return _cron(schedule.cron, zone, jitter)
    if schedule.every is not None:
        seconds = schedule.every / 1000
        first = start + timedelta(seconds=seconds)
        interval: Trigger = IntervalTrigger(
            seconds=seconds, start_date=first, timezone=zone, jitter=jitter
        )
        return interval
    date: Trigger = DateTrigger(_instant(schedule.at, zone), timezone=zone)
    return date


def check_schedules(compiled: CompiledPlugin, zone: tzinfo, now: datetime) -> Iterator[Problem]:
    """What is wrong with the times of a plugin's jobs: the `check` of an assembly.

    Args:
        compiled: the plugin.
        zone: the bot's.
        now: aware.
    """
    for job in compiled.jobs:
        if job.schedule is None:
            continue
        try:
            trigger = build_trigger(job.schedule, zone, now)
            never = job.schedule.cron is not None and next_fire(trigger, now) is None
        except DeclarationError as error:
            yield Problem(compiled.name, f"job {job.name!r}: {error}", job.source)
        else:
            if never:
                text = f"job {job.name!r}: cron={job.schedule.cron!r} never fires"
                yield Problem(compiled.name, text, job.source)


def next_fire(trigger: Trigger, now: datetime, previous: datetime | None = None) -> datetime | None:
    """When it fires next, not before `now`; None where it never does again."""
    return trigger.get_next_fire_time(previous, now)


def _cron(expression: str, zone: tzinfo, jitter: float | None) -> Trigger:
    """Five fields with crontab's meaning, which is not APScheduler's.

    There 0 is a Monday, and a day of the month and one of the week must both hold; here 0 is a
    Sunday, and either is enough.
    """
    from apscheduler.triggers.combining import OrTrigger  # noqa: PLC0415 - only where needed
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 - the same

    fields = dict(zip(_FIELDS, expression.split(), strict=False))
    if len(expression.split()) != len(_FIELDS):
        raise DeclarationError(f"cron={expression!r} does not have five fields")
    either = [fields]
    if not fields["day"].startswith("*") and not fields["day_of_week"].startswith("*"):
        either = [{**fields, "day": "*"}, {**fields, "day_of_week": "*"}]
    try:
        for each in either:
            each["day_of_week"] = _weekdays(each["day_of_week"].lower())
        triggers: list[Trigger] = [
            CronTrigger(**each, timezone=zone, jitter=jitter) for each in either
        ]
    except (ValueError, TypeError) as error:
        raise DeclarationError(f"cron={expression!r}: {error}") from None
    combined: Trigger = OrTrigger(triggers)
    return triggers[0] if len(triggers) == 1 else combined


def _weekdays(field: str) -> str:
    """Every day of a day-of-week field by its name; 0 and 7 are Sundays, ranges may wrap."""
    if field == "*":
        return field
    days = sorted({day % 7 for part in field.split(",") for day in _weekday_range(part)})
    return ",".join(_WEEKDAYS[day] for day in days)


def _weekday_range(part: str) -> range:
    found = _DAYS.fullmatch(part)
    if found is None:
        raise ValueError(f"{part!r} is no day of the week")
    first = _weekday(found[1] or "0")
    last = _weekday(found[2] or found[1] or "6")
    if found[3] is not None and found[1] is not None and found[2] is None:
        last = 6  # "mon/2" goes on to the end of the week
    return range(first, (last if last >= first else last + 7) + 1, int(found[3] or 1))


def _weekday(name: str) -> int:
    return int(name) if name.isdigit() else _WEEKDAYS.index(name)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DeclarationError(f"timezone={name!r} is not known") from None


def _instant(at: str | datetime | None, zone: tzinfo) -> datetime:
    try:
        instant = datetime.fromisoformat(at) if isinstance(at, str) else at
    except ValueError:
        raise DeclarationError(f"at={at!r} is no date and time (2026-03-01 09:00)") from None
    if not isinstance(instant, datetime):
        raise DeclarationError(f"at={at!r} is no date and time (2026-03-01 09:00)")
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=zone)
