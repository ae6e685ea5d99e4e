from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.plugins.errors import UsageError
from chatbot.plugins.moments import parse_date, parse_datetime, parse_time

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-24", date(2026, 12, 24)),
        ("today", MONDAY),
        ("Tomorrow", date(2026, 3, 3)),
        ("fri", date(2026, 3, 6)),
        ("Wednes", date(2026, 3, 4)),
        ("monday", date(2026, 3, 9)),
    ],
)
def test_dates(text: str, expected: date) -> None:
    assert parse_date(text, MONDAY) == expected


@pytest.mark.parametrize(
    "text", ["", "2026-02-30", "20260302", "2026-W10-1", "fr", "frizz", "٢٠٢٦-٠٣-٠٢"]
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_date(text, MONDAY)


def test_times() -> None:
    assert parse_time("9:00") == time(9)
    assert parse_time("18:30:15") == time(18, 30, 15)
    for text in ("9", "24:00", "9:60", "9:00am", ""):
        with pytest.raises(ValueError, match=r".+"):
            parse_time(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01 9:00", datetime(2026, 3, 1, 9, 0, tzinfo=BERLIN)),
        ("2026-03-01T09:00", datetime(2026, 3, 1, 9, 0, tzinfo=BERLIN)),
        ("tomorrow 18:30", datetime(2026, 3, 3, 18, 30, tzinfo=BERLIN)),
        ("Tue 7:05", datetime(2026, 3, 3, 7, 5, tzinfo=BERLIN)),
        ("2026-12-24", datetime(2026, 12, 24, tzinfo=BERLIN)),
        ("12:01", datetime(2026, 3, 2, 12, 1, tzinfo=BERLIN)),
        ("12:00", datetime(2026, 3, 3, 12, 0, tzinfo=BERLIN)),
    ],
)
def test_moments_are_meant_in_the_given_zone(text: str, expected: datetime) -> None:
    found = parse_datetime(text, NOON)
    assert found == expected
    assert found.tzinfo is BERLIN


def test_an_hour_that_the_clocks_leave_out_does_not_exist() -> None:
    with pytest.raises(UsageError, match="does not exist"):
        parse_datetime("2026-03-29 2:30", NOON)


def test_an_hour_that_comes_twice_is_the_first_of_both() -> None:
    found = parse_datetime("2026-10-25 2:30", NOON)
    assert found.astimezone(UTC) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_the_end_of_the_calendar_is_no_traceback() -> None:
    west = NOON.astimezone(ZoneInfo("America/Los_Angeles"))
    with pytest.raises(ValueError, match="calendar"):
        parse_datetime("9999-12-31 23:59", west)


@given(st.text(max_size=30))
def test_no_text_breaks_them(text: str) -> None:
    with suppress(ValueError, UsageError):
        assert parse_datetime(text, NOON).tzinfo is BERLIN
