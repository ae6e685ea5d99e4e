from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Annotated, Any, Literal, NewType

import pytest
from doubles.plugin_world import ALICE, BERLIN, MemoryGroup, make_context
from hypothesis import given
from hypothesis import strategies as st

from chatbot import Member, Range, Rest, Url, UsageError, User
from chatbot.plugins.arguments import ArgumentParser, compile_answer, compile_parser
from chatbot.plugins.errors import BadArgument, DeclarationError
from chatbot.plugins.parameters import read_signature

TAGS = Member(id="tag-id", username="tags", group_id="group-id", role="admin")
Number = NewType("Number", int)


class Nobody(Enum):
    pass


class Colour(Enum):
    RED = "#f00"
    DARK_GREEN = "#080"


def parser(function: Callable[..., Any]) -> ArgumentParser:
    return compile_parser(read_signature(function), {})


async def read(function: Callable[..., Any], text: str, **context: Any) -> dict[str, Any]:
    return await parser(function).parse(text, make_context(text, **context))


async def wrong(function: Callable[..., Any], text: str) -> str:
    with pytest.raises(UsageError) as caught:
        await read(function, text)
    return str(caught.value)


def plain(
    number: int,
    ratio: float,
    flag: bool,
    word: str,
    span: timedelta,
    colour: Colour,
    mode: Literal["on", "off", 3],
    alias: Number,
) -> None: ...


async def test_each_type_is_read() -> None:
    assert await read(plain, '-7 2.5e1 YES "two words" 2h30m dark-green 3 5') == {
        "number": -7,
        "ratio": 25.0,
        "flag": True,
        "word": "two words",
        "span": timedelta(hours=2, minutes=30),
        "colour": Colour.DARK_GREEN,
        "mode": 3,
        "alias": 5,
    }


def one(value: int) -> None: ...
def real(value: float) -> None: ...
def truth(value: bool) -> None: ...
def span(value: timedelta) -> None: ...
def colour(value: Colour) -> None: ...
def mode(value: Literal["on", "off"]) -> None: ...
def address(value: Url) -> None: ...
def day(value: date) -> None: ...
def clock(value: time) -> None: ...
def moment(value: datetime) -> None: ...
def sides(value: Annotated[int, Range(2, 1000)]) -> None: ...
def label(value: Annotated[str, Range(1, 3)]) -> None: ...
def pause(value: Annotated[timedelta, Range("1m", "1h")]) -> None: ...
def share(value: Annotated[float | int, Range(minimum=0)]) -> None: ...
def both(value: int | Colour) -> None: ...


@pytest.mark.parametrize(
    ("function", "text", "expected"),
    [
        (one, "1.5", "a whole number"),
        (one, "٣", "a whole number"),
        (one, "9" * 19, "a whole number"),
        (one, "9" * 5000, "a whole number"),
        (real, "nan", "a number"),
        (real, "1e999", "a number"),
        (truth, "maybe", "yes or no"),
        (span, "soon", "a length of time such as 90s, 10m or 2h30m"),
        (colour, "blue", "red or dark-green"),
        (mode, "auto", "on or off"),
        (address, "javascript:alert(1)", "an address such as https://example.org"),
        (address, "https://user:secret@host/", "an address such as https://example.org"),
        (address, "https://[::1", "an address such as https://example.org"),
        (address, "http://host:99999/", "an address such as https://example.org"),
        (day, "someday", "a date such as 2026-03-01, tomorrow or fri"),
        (clock, "25:00", "a time such as 9:00"),
        (moment, "later", "a date and time such as 2026-03-01 9:00 or tomorrow 18:30"),
        (sides, "1", "a whole number from 2 to 1000"),
        (sides, "1001", "a whole number from 2 to 1000"),
        (label, "long", "text of 1 to 3 characters"),
        (pause, "10s", "a length of time such as 90s, 10m or 2h30m from 1m to 1h"),
        (share, "-1", "a number or a whole number, at least 0"),
        (both, "x", "a whole number or red or dark-green"),
    ],
)
async def test_a_wrong_argument_is_answered_with_what_was_expected(
    function: Callable[..., Any], text: str, expected: str
) -> None:
    with pytest.raises(BadArgument) as caught:
        await read(function, text)
    assert caught.value.parameter == "value"
    assert caught.value.expected == expected
    shown = f'"{text[:40]}…"' if len(text) > 40 else f'"{text}"'
    assert str(caught.value) == f"value: expected {expected}\ngot: {shown}"


async def test_urls_dates_and_moments() -> None:
    url = "https://example.org:8080/a?b=c#d"
    assert await read(address, url) == {"value": url}
    assert await read(day, "tomorrow") == {"value": date(2026, 3, 3)}
    assert await read(clock, "18:30") == {"value": time(18, 30)}
    expected = datetime(2026, 3, 3, 17, 30, tzinfo=UTC)
    assert await read(moment, "tomorrow 18:30") == {"value": expected}
    assert await read(moment, '"tomorrow 18:30"') == {"value": expected}


def meeting(when: datetime, topic: Rest) -> None: ...


async def test_a_moment_takes_the_second_word_only_where_it_is_a_time() -> None:
    noon = datetime(2026, 3, 3, 12, 0, tzinfo=BERLIN)
    assert await read(meeting, "tomorrow 12:00 lunch") == {"when": noon, "topic": "lunch"}
    day_only = await read(meeting, "tomorrow lunch at noon")
    assert day_only == {"when": noon.replace(hour=0), "topic": "lunch at noon"}


async def test_the_spelling_of_choices_does_not_hang_on_case() -> None:
    assert await read(mode, "ON") == {"value": "on"}
    assert await read(colour, "Red") == {"value": Colour.RED}
    assert await read(colour, "#F00") == {"value": Colour.RED}


def person(who: User) -> None: ...
def member(who: Member) -> None: ...


async def test_people_are_found_by_name_or_id() -> None:
    assert await read(person, "@alice") == {"who": ALICE}
    assert await read(person, "alice-id") == {"who": ALICE}
    assert "a user such as @name" in await wrong(person, "@nobody")


async def test_members_are_found_in_the_group() -> None:
    group = MemoryGroup(people=[TAGS])
    assert await read(member, "@tags", group=group) == {"who": TAGS}
    with pytest.raises(BadArgument, match="a member of this group"):
        await read(member, "@alice", group=group)
    assert await wrong(member, "@tags") == "a member can only be named in a group"


def greeting(to: str, text: Rest = "hello", /) -> None: ...
def optional_rest(text: Rest | None = None) -> None: ...
def short_rest(text: Annotated[Rest, Range(1, 5)]) -> None: ...


async def test_the_rest_of_the_line() -> None:
    assert await read(greeting, 'bob  say "hi  there" it\'s') == {
        "to": "bob",
        "text": 'say "hi  there" it\'s',
    }
    assert await read(greeting, "bob") == {"to": "bob", "text": "hello"}
    assert await read(greeting, 'bob "unclosed') == {"to": "bob", "text": '"unclosed'}
    assert await read(optional_rest, " ") == {"text": None}
    assert "1 to 5 characters" in await wrong(short_rest, "too long")


def ban(days: int | None, who: str, reason: Rest = "") -> None: ...
def last_optional(who: str, days: int | None = None) -> None: ...


async def test_an_optional_word_that_does_not_fit_is_left_to_the_next_parameter() -> None:
    assert await read(ban, "7 bob spam") == {"days": 7, "who": "bob", "reason": "spam"}
    assert await read(ban, "bob 7 times") == {"days": None, "who": "bob", "reason": "7 times"}
    assert (await read(last_optional, "bob"))["days"] is None
    assert "days: expected a whole number" in await wrong(last_optional, "bob soon")


def give(names: list[str], amount: int, note: str = "-") -> None: ...
def total(first: str, *numbers: Annotated[int, Range(1, 6)]) -> None: ...
def pair(points: Annotated[list[int], Range(2, 3)]) -> None: ...
def mixed(numbers: list[int], word: str) -> None: ...
def maybe(numbers: list[int] | None = None, word: str = "") -> None: ...


async def test_lists_are_greedy_but_leave_what_others_need() -> None:
    assert await read(give, "a b c 5") == {"names": ["a", "b", "c"], "amount": 5, "note": "-"}
    assert await read(mixed, "1 2 3 go") == {"numbers": [1, 2, 3], "word": "go"}
    assert await read(mixed, "1 2 3") == {"numbers": [1, 2], "word": "3"}
    assert await read(maybe, "go") == {"numbers": None, "word": "go"}
    assert await read(total, "x 1 2 3") == {"first": "x", "numbers": [1, 2, 3]}
    assert await read(total, "x") == {"first": "x", "numbers": ()}


async def test_lists_say_how_many_and_of_what() -> None:
    assert await read(pair, "1 2 3") == {"points": [1, 2, 3]}
    assert await wrong(pair, "1") == "points: expected a whole number, at least 2 times\ngot: 1"
    assert "too many arguments" in await wrong(pair, "1 2 3 4")
    assert "numbers: expected one or more of: a whole number from 1 to 6" in await wrong(
        total, "x 1 9"
    )
    assert "names" in await wrong(give, "5")


async def test_a_list_has_an_end() -> None:
    assert "too many" in await wrong(total, "x " + "1 " * 101)


def poll(
    question: str, *options: str, anonymous: bool = False, last: timedelta | None = None
) -> None: ...
def note(text: Rest, *, title: str) -> None: ...


async def test_keyword_only_parameters_are_options() -> None:
    values = {"question": "Lunch?", "options": ["yes", "no"], "anonymous": True}
    hour = timedelta(hours=1)
    for line in (
        "Lunch? yes no --anonymous --last 1h",
        "--last=1h --anonymous Lunch? yes no",
        "Lunch? --ANONYMOUS yes --last 1h no",
    ):
        assert await read(poll, line) == {**values, "last": hour}
    assert await read(poll, "Lunch? yes -- no --anonymous") == {
        **values,
        "options": ["yes", "no", "--anonymous"],
        "anonymous": False,
        "last": None,
    }
    assert (await read(poll, 'Lunch? "--anonymous"'))["options"] == ["--anonymous"]


async def test_options_stand_before_a_rest() -> None:
    assert await read(note, "--title x it is --not an option") == {
        "title": "x",
        "text": "it is --not an option",
    }
    assert "--title: expected text\ngot: nothing" in await wrong(note, "no title")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("q --unknown", "unusable option"),
        ("q --anonymous --anonymous", "unusable option"),
        ("q --anonymous=yes", "unusable option"),
        ("q --last", "--last: expected a length of time"),
        ("q --last soon", "--last: expected a length of time"),
        ('q --last "1h', "not closed"),
    ],
)
async def test_wrong_options_are_told(line: str, answer: str) -> None:
    assert answer in await wrong(poll, line)


def test_usage_and_help_come_from_the_signature() -> None:
    def roll(
        sides: Annotated[int, Range(2, 1000), "how many sides"] = 6,
        *names: str,
        mode: Literal["fair", "loaded"] = "fair",
        quiet: bool = False,
    ) -> None: ...

    compiled = parser(roll)
    assert compiled.usage == "[--mode=<fair|loaded>] [--quiet] [sides=6] [names…]"
    assert compiled.describe() == (
        "sides: how many sides - a whole number from 2 to 1000 (default 6)",
        "names - one or more of: text",
        "--mode - fair or loaded (default fair)",
        "--quiet - yes or no",
    )
    assert parser(meeting).usage == "<when> <topic…>"
    assert parser(mode).usage == "<on|off>"


async def test_nothing_and_too_much() -> None:
    assert await read(lambda: None, "  ") == {}
    assert await wrong(lambda: None, "x") == 'too many arguments\ngot: "x"'
    assert await wrong(one, "") == "value: expected a whole number\ngot: nothing"
    assert await wrong(one, '"1') == "a quotation mark is not closed"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("x" * 100_000, "too long"),
        ("\u202e6", r"U+202E"),
        ("6\x00", r"U+0000"),
        ('"' * 9_999, 'got: ""'),
        ('"6' + '\\"' * 4_000, "not closed"),
        ("\u200f6", "<U+200F>6"),
    ],
)
async def test_hostile_text_gets_a_usage_answer(text: str, answer: str) -> None:
    assert answer in await wrong(sides, text)


async def test_an_answer_to_a_question_is_read_as_an_argument_is() -> None:
    ctx = make_context()
    answer = await compile_answer(str, {}).parse('  yes, "both"  of them ', ctx)
    assert answer == {"answer": 'yes, "both"  of them'}
    assert await compile_answer(Annotated[int, Range(1, 6)], {}).parse("3", ctx) == {"answer": 3}
    with pytest.raises(BadArgument, match="answer: expected a whole number"):
        await compile_answer(int, {}).parse("three", ctx)


def bad_range(value: Annotated[int, Range(5, 1)]) -> None: ...
def text_range(value: Annotated[int, Range("a")]) -> None: ...
def span_range(value: Annotated[timedelta, Range("soon")]) -> None: ...
def union_range(value: Annotated[int | str, Range(1)]) -> None: ...
def bare_list(value: list) -> None: ...  # type: ignore[type-arg] # the point
def no_reader(value: random.Random) -> None: ...
def loud(*, value: bool = True) -> None: ...
def long_option(*, value: Rest) -> None: ...
def early_rest(value: Rest, more: str) -> None: ...
def nobody(value: Nobody) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (bad_range, "does not bound int"),
        (text_range, "does not bound int"),
        (span_range, "does not bound a duration"),
        (union_range, r"does not bound int \| str"),
        (bare_list, r"list\[str\]"),
        (no_reader, "nothing gives or reads Random"),
        (loud, "its default must be False"),
        (long_option, "an option takes one word"),
        (nobody, "Nobody has no members"),
        (early_rest, "nothing can come behind the rest"),
    ],
)
def test_what_cannot_be_read_fails_at_load(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=f"parameter 'value': .*{message}"):
        parser(function)


def several(a: random.Random, b: int, c: random.Random) -> None: ...


def test_every_parameter_that_cannot_be_read_is_named() -> None:
    with pytest.raises(DeclarationError) as caught:
        parser(several)
    assert [line.partition(":")[0] for line in caught.value.args] == [
        "parameter 'a'",
        "parameter 'c'",
    ]


EVERYTHING = [
    parser(function)
    for function in (plain, sides, moment, address, person, greeting, ban, give, total, poll, note)
]
TYPED = st.text(
    alphabet=st.one_of(
        st.sampled_from(list(' "\\“”-=@:.0123456789abehmnostuy\n\t')),
        st.characters(),
    ),
    max_size=80,
)


@given(TYPED, st.sampled_from(EVERYTHING))
async def test_whatever_is_typed_is_read_or_answered(text: str, compiled: ArgumentParser) -> None:
    answer: str | None = None
    try:
        values = await compiled.parse(text, make_context(text))
    except UsageError as error:
        answer = str(error)
    if answer is None:
        names = {argument.name for argument in compiled.positional} | set(compiled.options)
        assert values.keys() == names
    else:
        assert 0 < len(answer.encode()) < 2_000


@given(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
async def test_numbers_come_back_from_their_spelling(number: int, fraction: float) -> None:
    assert await read(one, str(number)) == {"value": number}
    assert await read(real, repr(fraction)) == {"value": fraction}
