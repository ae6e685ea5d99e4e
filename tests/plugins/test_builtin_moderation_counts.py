"""How fast is too fast, what points add up to, and what a configuration may say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chatbot.plugins.builtin.moderation.cases import Case
from chatbot.plugins.builtin.moderation.config import ModerationConfig
from chatbot.plugins.builtin.moderation.pace import MAX_KEPT, Breach, Pace, observe
from chatbot.plugins.builtin.moderation.points import Step, Tally, consequence, tally
from chatbot.plugins.durations import parse_rate

STEPS = (Step(points=3, sanction="kick"), Step(points=5, sanction="ban", lasts=1000))


def breaches(times: list[int], *, flood: str | None = None, slow: int = 0) -> list[Breach | None]:
    pace, found = Pace(), []
    for at in times:
        rate = None if flood is None else parse_rate(flood)
        pace, breach = observe(pace, at, flood=rate, slow=slow)
        found.append(breach)
    return found


def test_a_flood_is_called_one_once_and_counted_anew() -> None:
    assert breaches([0, 1, 2, 3, 4, 5], flood="2/10s") == [None, None, "flood"] * 2


def test_messages_at_an_allowed_rate_are_no_flood() -> None:
    assert set(breaches(list(range(0, 100_000, 5_000)), flood="2/10s")) == {None}


def test_slow_mode_reminds_once_in_each_wait() -> None:
    assert breaches([0, 10, 20, 1000, 1010], slow=1000) == [None, "slow", None, None, "slow"]


@given(st.lists(st.integers(0, 20_000), max_size=200))
def test_what_is_remembered_is_bounded_and_in_order(times: list[int]) -> None:
    pace = Pace()
    for at in times:  # clocks may go back
        pace, _ = observe(pace, at, flood=parse_rate("50/10s"), slow=5_000)
        assert len(pace.times) <= MAX_KEPT
        assert list(pace.times) == sorted(pace.times)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=20))
def test_forgeable_points_alone_do_nothing_to_anybody(warnings: list[tuple[int, bool]]) -> None:
    now = Tally()
    for points, proven in warnings:
        after = Tally(now.proven + points * proven, now.claimed + points)
        follows = consequence(now, after, STEPS)
        if follows is not None and follows.certain:
            assert after.proven >= follows.step.points
        now = after


def test_a_step_is_reached_once_and_the_hardest_counts() -> None:
    assert consequence(Tally(3, 3), Tally(4, 4), STEPS) is None
    follows = consequence(Tally(0, 0), Tally(9, 9), STEPS)
    assert follows is not None
    assert (follows.step, follows.certain) == (STEPS[1], True)


def warning(**changes: Any) -> Case:
    about: dict[str, Any] = {"number": 1, "group": "g", "user": "u", "name": "bob", "kind": "warn"}
    return Case(**{**about, "reason": "", "at": 0, "points": 2, **changes})


def test_what_counts() -> None:
    cases = [
        warning(),
        warning(proven=False),
        warning(state="undone"),
        warning(kind="ban"),
        warning(at=-1000),
        warning(state="dry"),
    ]
    assert tally(cases, now=0, lasts=1000) == Tally(2, 4)
    assert tally(cases, now=0, lasts=1000, rehearsed=True) == Tally(4, 6)


@pytest.mark.parametrize(
    "section",
    [
        {"flood": "fast"},
        {"flood": "1000/10s"},
        {"points_last": "soon"},
        {"word_points": -1},
        {"words": ["..."]},
        {"words": ["one two three four five six seven eight nine"]},
        {"hosts": ["//"]},
        {"steps": [{"points": 0, "action": "kick"}]},
        {"steps": [{"points": 1, "action": "mute"}]},
        {"wordz": []},
    ],
)
def test_what_a_configuration_may_not_say(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModerationConfig.model_validate(section)


def test_hosts_are_listed_as_links_are_read() -> None:
    assert ModerationConfig(hosts=("https://WWW.Example.org/x",)).hosts == ("example.org",)
