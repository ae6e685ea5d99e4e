from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.plugins.errors import UsageError
from chatbot.plugins.tokens import Token, Tokens, first_word


def words(line: str) -> list[str]:
    tokens, taken = Tokens(line), []
    while tokens.peek() is not None:
        taken.append(tokens.front().text)
        tokens.drop()
    return taken


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("   \t\n ", []),
        ("one two", ["one", "two"]),
        ('one "two three" four', ["one", "two three", "four"]),
        ('""', [""]),
        (r'"say \"hi\" \\"', ['say "hi" \\']),
        ("“smart quotes” „deutsche“ «guillemets»", ["smart quotes", "deutsche", "guillemets"]),
        ("it's 5'11\"", ["it's", "5'11\""]),
        (r"C:\dir\file", [r"C:\dir\file"]),
        ('"a"b', ["a", "b"]),
    ],
)
def test_a_line_is_cut_into_words(line: str, expected: list[str]) -> None:
    assert words(line) == expected


def test_a_quote_that_is_not_closed_is_refused_when_it_is_read() -> None:
    tokens = Tokens('one "two three')
    assert tokens.front() == Token("one", 0)
    tokens.drop()
    with pytest.raises(UsageError, match="not closed"):
        tokens.front()


def test_the_rest_is_as_it_was_typed() -> None:
    tokens = Tokens('say   it "as  you\n like" it\'s \\fine  ')
    assert tokens.front().text == "say"
    tokens.drop()
    assert tokens.rest() == 'it "as  you\n like" it\'s \\fine'
    assert tokens.peek() is None


def test_the_rest_keeps_a_quote_that_was_looked_at_already() -> None:
    tokens = Tokens('  "open')
    assert tokens.peek() is not None
    assert tokens.rest() == '"open'


def test_looking_ahead_takes_nothing() -> None:
    tokens = Tokens("a b c")
    ahead = tokens.peek(2)
    assert ahead is not None
    assert ahead.text == "c"
    assert tokens.peek(3) is None
    tokens.drop(1)
    assert [tokens.front().text, tokens.rest()] == ["a", "a b c"]


def test_nothing_left_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        Tokens(" ").front()


def test_the_first_word_and_what_follows_it() -> None:
    assert first_word("roll  6 2 ") == ("roll", "6 2 ")
    assert first_word(" roll") == ("roll", "")
    assert first_word("  ") == ("", "")


@given(st.lists(st.text(min_size=1)))
def test_quoted_words_come_back_whatever_is_in_them(texts: list[str]) -> None:
    quoted = " ".join('"' + t.replace("\\", "\\\\").replace('"', '\\"') + '"' for t in texts)
    assert words(quoted) == texts


@given(st.text(alphabet='ab "\\“”„«»\n\u3000', max_size=60))
def test_any_line_is_read_to_its_end(line: str) -> None:
    tokens, before = Tokens(line), -1
    while (token := tokens.peek()) is not None:
        assert before < token.start < len(line)
        assert not line[token.start].isspace()
        before = token.start
        tokens.drop()


@pytest.mark.parametrize("bait", ['"', "\\", '"\\a', '"a ', "a ", "“", '\\"'])
def test_no_line_takes_more_than_linear_time(bait: str) -> None:
    def cost(length: int) -> float:
        tokens, begun = Tokens((bait * length)[:length]), time.perf_counter()
        while tokens.peek() is not None:
            tokens.drop()
        return time.perf_counter() - begun

    small, large = min(cost(5_000) for _ in range(3)), min(cost(50_000) for _ in range(3))
    assert large < 40 * small + 0.01  # ten times the length; quadratic would be a hundred
