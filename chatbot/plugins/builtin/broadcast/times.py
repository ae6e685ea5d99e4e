"""When something is to be announced, as people write it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from chatbot.plugins.builtin.broadcast.announcer import When
from chatbot.plugins.durations import parse_duration
from chatbot.plugins.moments import parse_datetime

EXPECTED: Final = 'now, 10m, 18:30, "tomorrow 9:00", "2026-03-01 9:00" or cron: "0 9 * * mon"'

_CRON_FIELDS: Final = 5


def parse_when(text: str, now: datetime) -> When:
    """Read "now", a length of time, a time, a date and time, or the five fields of cron.

    Whether a cron line is one, the scheduler says.

    Args:
        text: what was typed.
        now: aware.

    Raises:
        ValueError: anything else.
        UsageError: a time that the clocks are put forward over.
    """
    if text.casefold() == "now":
        return When()
    if len(text.split()) == _CRON_FIELDS:
        return When(cron=" ".join(text.split()))
    try:
        return When(at=now + timedelta(milliseconds=parse_duration(text)))
    except ValueError:
        return When(at=parse_datetime(text, now))
