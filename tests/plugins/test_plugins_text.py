from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.plugins.errors import UsageError
from chatbot.plugins.text import MAX_ARGUMENT_TEXT, check_text, quoted, sanitise


@pytest.mark.parametrize(
    "text",
    ["bell \x07", "nul \x00", "escape \x1b[31m", "\u202egpj.exe", "\u2066hidden\u2069", "\ud800"],
)
def test_control_and_direction_characters_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"U\+"):
        check_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines\tand a tab\r\n",
        "שלום",
        "\u0645\u06cc\u200c\u062e",
        "👩\u200d💻",
        "naïve “quoted”",
    ],
)
def test_ordinary_text_of_any_script_is_not(text: str) -> None:
    check_text(text)


def test_too_long_a_text_is_refused_with_its_length() -> None:
    check_text("x" * MAX_ARGUMENT_TEXT)
    with pytest.raises(UsageError, match="102400"):
        check_text("x" * 102_400)


def test_what_cannot_be_seen_is_spelled_out() -> None:
    assert sanitise("a\u202eb\nc") == "a<U+202E>b<U+000A>c"
    assert quoted("x" * 50) == f'"{"x" * 40}…"'


@given(st.text(st.characters(), max_size=200))
def test_sanitised_text_is_short_and_on_one_line(text: str) -> None:
    shown = sanitise(text)
    assert len(shown) <= 40 * len("<U+10FFFF>") + 1
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in shown)
    shown.encode()
