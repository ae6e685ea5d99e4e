"""Dates and times as people write them, in the bot's time zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from chatbot.plugins.context import Context
from chatbot.plugins.conversion import Converter
from chatbot.plugins.durations import EXPECTED_DURATION, parse_duration
from chatbot.plugins.errors import UsageError

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", re.ASCII)
_ISO_SEPARATOR: Final = re.compile(r"(?<=[0-9])[Tt](?=[0-9])")
_WEEKDAYS: Final = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)


def parse_date(text: str, today: date) -> date:
    """Read "2026-03-01", "today", "tomorrow", or "fri" for the next Friday after today.

    Raises:
        ValueError: anything else, or a day that the calendar does not have.
    """
    word = text.casefold()
    if word in {"today", "tomorrow"}:
        return today + timedelta(days=word == "tomorrow")
    if (weekday := _weekday(word)) is not None:
        return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)
    if _DATE.fullmatch(text) is None:
        raise ValueError("not a date")
    return date.fromisoformat(text)


def parse_time(text: str) -> time:
    """Read "9:00", "09:00" or "18:30:15".

    Raises:
        ValueError: anything else, or past the end of the day.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("not a time")
    return time(int(found[1]), int(found[2]), int(found[3] or 0))


def parse_datetime(text: str, now: datetime) -> datetime:
    """Read "2026-03-01 9:00" (or with a T), "tomorrow 18:30", or "9:00" for the next time it is.

    A bare day is its first instant.

    Args:
        text: one or two words.
        now: aware; its zone is the one that is meant.

    Raises:
        ValueError: anything else.
        UsageError: the clocks are put forward over that time, so that it does not exist.
    """
    # The T of ISO 8601 stands between digits, the one of "today" and "Tue" does not.
    day, _, clock = _ISO_SEPARATOR.sub(" ", text).partition(" ")
    if not clock and ":" in day:
        return _next(parse_time(day), now)
    at = parse_time(clock.strip()) if clock else time()
    return _existing(datetime.combine(parse_date(day, now.date()), at, now.tzinfo))


def _next(at: time, now: datetime) -> datetime:
    today = _existing(datetime.combine(now.date(), at, now.tzinfo))
    if today.astimezone(UTC) > now.astimezone(UTC):
        return today
    return _existing(datetime.combine(now.date() + timedelta(days=1), at, now.tzinfo))


def _existing(moment: datetime) -> datetime:
    try:
        returned = moment.astimezone(UTC).astimezone(moment.tzinfo)
    except OverflowError:
        raise ValueError("out of the calendar") from None
    if returned.replace(fold=0) != moment.replace(fold=0):
        raise UsageError(f"{moment:%Y-%m-%d %H:%M} does not exist: the clocks are put forward")
    return moment


def _weekday(word: str) -> int | None:
    """0 for "mon", "monday" and what lies between; None where it is no day's name."""
    fitting = (n for n, day in enumerate(_WEEKDAYS) if day.startswith(word) and word[2:])
    return next(fitting, None)


def _date(text: str, ctx: Context) -> date:
    return parse_date(text, ctx.bot.now().date())


def _datetime(text: str, ctx: Context) -> datetime:
    return parse_datetime(text, ctx.bot.now())


DATE: Final = Converter("a date such as 2026-03-01, tomorrow or fri", _date)
TIME: Final = Converter("a time such as 9:00", lambda text, _ctx: parse_time(text))
DATETIME: Final = Converter(
    "a date and time such as 2026-03-01 9:00 or tomorrow 18:30", _datetime, words=2
)
DURATION: Final = Converter(
    EXPECTED_DURATION,
    lambda text, _ctx: timedelta(milliseconds=parse_duration(text)),
)
