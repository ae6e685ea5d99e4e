"""Text as a filter should see it: without case, accents, look-alikes and things put in between.

Everything here takes time linear in the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import Final

# Letters that NFKD leaves alone but people take for Latin ones, by the Latin letter: the part of
# Unicode's confusables that looks like lower case, in Cyrillic, Greek, Armenian and Latin.
_LATIN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "a": "\u0430\u03b1\u0251",
        "b": "\u0432\u044c\u03b2",
        "c": "\u0441\u03f2",
        "d": "\u0501\u0111",
        "e": "\u0435\u03b5\u0454",
        "g": "\u0581\u0261",
        "h": "\u04bb\u04a5\u043d\u0127\u0570",
        "i": "\u0456\u0131\u03b9\u0269",
        "j": "\u0458\u03f3",
        "k": "\u043a\u03ba",
        "l": "\u04cf\u0142\u04c0",
        "m": "\u043c",
        "n": "\u03b7\u0578\u057c",
        "o": "\u043e\u03bf\u0585\u00f8\u03c3",
        "p": "\u0440\u03c1",
        "q": "\u051b",
        "r": "\u0433",
        "s": "\u0455",
        "t": "\u0442\u03c4\u0167",
        "u": "\u03c5\u057d\u028b",
        "v": "\u03bd\u0475",
        "w": "\u051d\u03c9\u0561",
        "x": "\u0445\u03c7",
        "y": "\u0443\u03b3\u04af",
    }
)
_LOOK_ALIKES: Final[Mapping[int, str]] = MappingProxyType(
    {ord(other): latin for latin, others in _LATIN.items() for other in others}
)
_DIGITS: Final[Mapping[int, str]] = MappingProxyType(
    dict(zip(map(ord, "03457"), "oeast", strict=True))
)
_SIGNS: Final[Mapping[int, str]] = MappingProxyType(
    dict(zip(map(ord, "@$€!|"), "aseil", strict=True))
)
_SIGNS_INSIDE: Final = re.compile(r"(?<=\w)[@$€!|]+(?=\w)")
_ONES: Final = ("i", "l")
"""What a 1 may stand for."""

_DROPPED: Final = frozenset({"Mn", "Me", "Cf"})
"""Accents, enclosing marks, and what has no width."""

_STRETCHED: Final = re.compile(r"(.)\1{2,}", re.DOTALL)
_WORD: Final = re.compile(r"[^\W_]+")
_SPELLED_OUT: Final = 3
"""So many single letters in a row are read as one word: `b.a.d`."""


def fold(text: str) -> str:
    """Lower case, compatibility forms undone, accents and zero-width characters dropped."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    # Case folding may bring forms that decompose once more.
    again = unicodedata.normalize("NFKD", decomposed)
    return "".join(c for c in again if unicodedata.category(c) not in _DROPPED)


def skeletons(text: str) -> tuple[str, ...]:
    """The folded text in Latin look-alikes, in every reading that it has, four at most.

    A 1 is an i or an l; a sign inside a word is a letter or ends the word. Letters written three
    times or more count once.
    """
    plain = fold(text).translate(_LOOK_ALIKES).translate(_DIGITS)
    read = _SIGNS_INSIDE.sub(lambda signs: signs[0].translate(_SIGNS), plain)
    once = [_STRETCHED.sub(r"\1", reading) for reading in (plain, read)]
    return tuple(dict.fromkeys(r.replace("1", one) for r in once for one in _ONES))


def words(skeleton: str) -> tuple[str, ...]:
    """Its words in order; letters that stand alone, three or more in a row, are one word."""
    return tuple(_joined(_WORD.findall(skeleton)))


def _joined(found: list[str]) -> Iterator[str]:
    for alone, group in groupby(found, key=lambda word: len(word) == 1):
        letters = list(group)
        if alone and len(letters) >= _SPELLED_OUT:
            yield "".join(letters)
        else:
            yield from letters
