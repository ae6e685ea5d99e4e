from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.plugins.durations import (
    Cooldown,
    Limit,
    Rate,
    format_duration,
    milliseconds,
    parse_duration,
    parse_limit,
    parse_rate,
)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("250ms", 250),
        ("90s", 90_000),
        ("10m", 600_000),
        ("2H30M", 9_000_000),
        ("1w2d", 777_600_000),
    ],
)
def test_durations_are_read(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text", ["", "10", "m", "0s", "-5m", "1.5h", "5 m", "1y", "٣m", "9" * 50 + "s", "999999999w"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_duration(text)


@given(st.integers(1, 3_000_000_000_000))
def test_a_duration_comes_back_from_its_spelling(ms: int) -> None:
    assert parse_duration(format_duration(ms)) == ms


def test_durations_may_be_objects() -> None:
    assert milliseconds(timedelta(seconds=1.5)) == 1_500
    assert milliseconds("1m") == 60_000
    with pytest.raises(ValueError, match="more than nothing"):
        milliseconds(timedelta(0))


def test_rates() -> None:
    assert parse_rate("5/10s") == Rate(5, 10_000)
    assert parse_rate(" 1/m ") == Rate(1, 60_000)


@pytest.mark.parametrize("text", ["", "5", "5/", "0/10s", "5/10", "x/10s", "5 per 10s", "5/0s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_rate(text)


def test_cooldowns() -> None:
    assert parse_limit(None) is None
    assert parse_limit("5/10s") == Limit(Rate(5, 10_000), "user")
    assert parse_limit(Cooldown("1/1m", per="chat")) == Limit(Rate(1, 60_000), "chat")
    with pytest.raises(ValueError, match="per='planet'"):
        parse_limit(Cooldown("1/1m", per="planet"))  # type: ignore[arg-type] # the point
