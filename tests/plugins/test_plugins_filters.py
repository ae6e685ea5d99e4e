from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from doubles.plugin_world import BOB, MemoryContext, MemoryGroup, make_context
from hypothesis import given
from hypothesis import strategies as st

from chatbot import Filter, Role, filters
from chatbot.plugins.errors import DeclarationError
from chatbot.plugins.filters import REGEX_INPUT, Captures


def holds(condition: Filter, ctx: MemoryContext) -> bool:
    return condition.compile()(ctx, {})


def captured(condition: Filter, text: str) -> Captures | None:
    captures: Captures = {}
    return captures if condition.compile()(make_context(text), captures) else None


DIRECT = make_context("Good Bot!")
GROUP = make_context("Good Bot!", group=MemoryGroup())


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (filters.direct, True),
        (filters.group, False),
        (filters.chats("group"), False),
        (filters.encrypted, True),
        (filters.verified, False),
        (filters.text(equals="good bot!"), True),
        (filters.text(contains="BOT"), True),
        (filters.text(starts="good"), True),
        (filters.text(starts="good", contains="cat"), False),
        (filters.regex("good"), False),
        (filters.regex("good", re.IGNORECASE), True),
        (filters.sender("@alice"), True),
        (filters.sender("bob", "alice-id"), True),
        (filters.sender("bob"), False),
        (filters.role("member"), True),
        (filters.role("moderator"), False),
        (filters.media(), False),
        (filters.media("image"), False),
        (filters.predicate(lambda ctx: ctx.prefix == "/"), True),
        (filters.every(), True),
        (filters.every(filters.direct, filters.encrypted), True),
        (filters.every(filters.direct, filters.group), False),
    ],
)
def test_conditions(condition: Filter, expected: bool) -> None:
    assert holds(condition, DIRECT) is expected
    assert holds(~condition, DIRECT) is not expected


def test_conditions_look_at_the_message_in_hand() -> None:
    assert holds(filters.group, GROUP)
    assert not holds(filters.encrypted, GROUP)
    assert holds(filters.sender("bob"), make_context(user=BOB))
    assert holds(filters.role("moderator"), make_context(role=Role.ADMIN))
    picture = make_context()
    picture.message = replace(picture.message, type="image")
    assert holds(filters.media(), picture)
    assert holds(filters.media("image"), picture)
    assert not holds(filters.media("video"), picture)


LEAVES = st.sampled_from(
    [(filters.direct, True), (filters.group, False), (filters.encrypted, True)]
)
Valued = tuple[Filter, bool]


def _join(inner: st.SearchStrategy[Valued]) -> st.SearchStrategy[Valued]:
    both = st.tuples(inner, inner)
    return st.one_of(
        both.map(lambda pair: (pair[0][0] & pair[1][0], pair[0][1] and pair[1][1])),
        both.map(lambda pair: (pair[0][0] | pair[1][0], pair[0][1] or pair[1][1])),
        inner.map(lambda one: (~one[0], not one[1])),
    )


@given(st.recursive(LEAVES, _join))
def test_combinations_mean_what_logic_says(case: Valued) -> None:
    condition, expected = case
    assert holds(condition, DIRECT) is expected


NUMBER = filters.regex(r"#(?P<number>\d+)")
WORD = filters.regex(r"(?P<word>\w+)!")


def test_named_groups_are_captured() -> None:
    assert captured(NUMBER, "see #12") == {"number": "12"}
    assert captured(NUMBER & WORD, "#12 now!") == {"number": "12", "word": "now"}
    assert captured(NUMBER | WORD, "now!") == {"word": "now"}
    assert captured(~NUMBER & WORD, "now!") == {"word": "now"}
    assert captured(filters.regex("a(?P<b>b)?"), "a") == {"b": None}


def test_a_failed_alternative_leaves_no_captures() -> None:
    assert captured((NUMBER & filters.group) | WORD, "#12 now!") == {"word": "now"}


def test_which_captures_are_certain_is_known_before() -> None:
    assert (NUMBER & WORD).certain() == {"number", "word"}
    assert (NUMBER | WORD).certain() == set()
    assert (NUMBER | WORD).captures() == {"number", "word"}
    assert ((NUMBER & WORD) | NUMBER).certain() == {"number"}
    assert (~NUMBER).captures() == set()


def test_where_a_condition_can_hold_is_known_before() -> None:
    anywhere = {"direct", "group"}
    assert (filters.group & NUMBER).places() == {"group"}
    assert (~filters.direct & filters.encrypted).places() == {"group"}
    assert (filters.group | filters.direct).places() == anywhere
    assert (filters.group & filters.direct).places() == set()
    assert (~(filters.group & NUMBER)).places() == anywhere


def test_a_pattern_is_shown_a_bounded_part_of_the_text() -> None:
    assert captured(filters.regex("needle"), " " * (REGEX_INPUT - 6) + "needle") == {}
    assert captured(filters.regex("needle"), " " * (REGEX_INPUT - 5) + "needle") is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: filters.regex("("), "bad regular expression"),
        (lambda: filters.regex("(?P<a>.)") & filters.regex("["), "bad regular expression"),
        (lambda: filters.role(cast("Any", "king")), "unknown role 'king'"),
        (lambda: filters.chats(cast("Any", "forum")), "unknown kind of chat"),
    ],
)
def test_bad_conditions_are_only_found_when_they_are_compiled(
    make: Callable[[], Filter], message: str
) -> None:
    condition = make()
    with pytest.raises(DeclarationError, match=message):
        condition.compile()
