"""Words and links as a filter sees them."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.plugins.builtin.moderation.folding import fold, skeletons, words
from chatbot.plugins.builtin.moderation.links import forbidden, hosts, normal_host
from chatbot.plugins.builtin.moderation.words import WordList, is_phrase

SPAM = WordList.of(["casino", "free money"])


@pytest.mark.parametrize(
    "text",
    [
        "casino",
        "the CASINO is open",
        "càsïnö",
        "c\u200ba\u200bs\u00adino",
        "ｃａｓｉｎｏ",
        "𝒄𝒂𝒔𝒊𝒏𝒐",
        "с\u0430s\u0456n\u043e",
        "cas1n0",
        "c@$ino",
        "ca$!no",
        "caaaasinooo",
        "c.a.s.i.n.o",
        "c a s i n o",
        "(casino)",
        "_casino_",
        "so much free  money!",
        "FREE-m0ney",
    ],
)
def test_however_it_is_spelled_a_word_is_found(text: str) -> None:
    assert SPAM.find(text) in {"casino", "free money"}


@pytest.mark.parametrize(
    "text", ["casinos", "occasion", "free of money", "money free", "", "a b", "12 15", "кино"]
)
def test_other_words_are_not(text: str) -> None:
    assert SPAM.find(text) is None


def test_a_one_is_an_i_or_an_l() -> None:
    assert WordList.of(["kill"]).find("k1ll") == "kill"
    assert WordList.of(["pill"]).find("pi11") == "pill"
    assert WordList.of(["fail"]).find("the fall of man") is None


@given(st.text(alphabet="abcdefghijkmnopqrstuvwxyz", min_size=2, max_size=12), st.data())
def test_no_disguise_of_a_letter_hides_a_word(word: str, data: st.DataObject) -> None:
    disguises = st.sampled_from(["{}", "{}\u0301", "{}\u200d", "\ufeff{}", "{}\u0336"])
    spelled = "".join(
        data.draw(disguises).format(letter.upper() if data.draw(st.booleans()) else letter)
        for letter in word
    )
    assert WordList.of([word]).find(f"well, {spelled}!") == word


@given(st.text())
def test_what_is_folded_stays_as_it_is(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert not any(unicodedata.category(c) in {"Mn", "Cf"} for c in folded)


@given(st.text())
def test_a_listed_phrase_finds_itself(text: str) -> None:
    if is_phrase(text):
        assert WordList.of([text]).find(text) == text


def test_single_letters_in_a_row_are_a_word() -> None:
    assert words("b a d") == ("bad",)
    assert words("a b") == ("a", "b")
    assert skeletons("b1d") == ("bid", "bld")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see https://Example.ORG/x?y#z", ("example.org",)),
        ("http://good.example@evil.example/", ("evil.example",)),
        ("https://good.example\\@evil.example", ("good.example",)),
        ("https:\\\\evil.example", ()),
        ("https://evil.example:8080.", ("evil.example",)),
        ("www.evil.example", ("evil.example",)),
        ("ftp://files.example", ("files.example",)),
        ("join evil.com now, or evil\u3002com", ("evil.com",)),
        ("ＥＶＩＬ．ＣＯＭ", ("evil.com",)),
        ("ev\u200bil.com", ("evil.com",)),
        ("read main.py, e.g. this one.", ()),
        ("mail me@example.com", ()),
        ("1.5 and ...", ()),
    ],
)
def test_hosts_are_what_a_browser_would_go_to(text: str, found: tuple[str, ...]) -> None:
    assert hosts(text) == found


def test_a_host_allows_what_is_below_it_and_nothing_that_looks_like_it() -> None:
    allowed = {"example.org"}
    assert forbidden("https://docs.example.org https://example.org", allowed) is None
    assert forbidden("https://badexample.org", allowed) == "badexample.org"
    assert forbidden("https://example.org.evil.com", allowed) == "example.org.evil.com"
    assert forbidden("https://ex\u0430mple.org", allowed) == "ex\u0430mple.org"


def test_a_host_is_listed_however_it_is_typed() -> None:
    assert normal_host("https://www.Example.org/path") == "example.org"
    assert normal_host("example.org") == "example.org"
    assert normal_host("not a host") is None
    assert normal_host("https://") is None


@given(st.text(max_size=300))
def test_any_text_has_hosts_or_none(text: str) -> None:
    assert all(host == host.casefold() and " " not in host for host in hosts(text))


@pytest.mark.parametrize(
    "unit", ["a", "a.", "a-", "http://", "@", "free ", "f r e e ", "\u0301", "a.b.c.com", "1!"]
)
def test_long_texts_take_time_in_proportion(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    began = time.process_time()
    assert SPAM.find(text) is None
    hosts(text)
    assert time.process_time() - began < 5  # a quadratic one takes minutes
