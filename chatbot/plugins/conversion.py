"""Turning one word into a value: what a converter is, and those that need no chat.

A converter names what it expects once; help, usage and error text all take it from there.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from chatbot.plugins.context import Context

Convert: TypeAlias = Callable[[str, Context], Any]
"""Text to value, or to an awaitable of it; raises ValueError where it cannot."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_NUMBER: Final = re.compile(
    r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:e[+-]?[0-9]{1,3})?",
    re.ASCII | re.IGNORECASE,
)
_INT64: Final = 2**63
_MAX_URL: Final = 2_048
_BOOLEANS: Final[Mapping[str, bool]] = MappingProxyType(
    dict.fromkeys(("yes", "y", "true", "on", "1"), True)
    | dict.fromkeys(("no", "n", "false", "off", "0"), False)
)


@dataclass(frozen=True, slots=True)
class Converter:
    """How a type is read.

    Attributes:
        expected: what a person has to type, in words that fit behind "expected".
        convert: ValueError means that the text is not it; `UsageError` says so in own words.
        suspends: whether `convert` returns an awaitable.
        words: how many words it may span, as a date and a time do.
        choices: the spellings there are, where they can be listed.
    """

    expected: str
    convert: Convert
    suspends: bool = False
    words: int = 1
    choices: tuple[str, ...] = ()

    async def read(self, text: str, ctx: Context) -> Any:
        """The value of `text`; raises what `convert` raises."""
        value = self.convert(text, ctx)
        return await value if self.suspends else value

    def narrowed(self, expected: str, check: Callable[[Any], bool]) -> Converter:
        """The same for fewer values: those that `check` holds for."""
        if self.suspends:
            return replace(self, expected=expected, convert=_checked_later(self.convert, check))
        return replace(self, expected=expected, convert=_checked(self.convert, check))


def plain(expected: str, convert: Callable[[str], Any]) -> Converter:
    """A converter that needs nothing but the text."""
    return Converter(expected, lambda text, _ctx: convert(text))


def choice(options: Mapping[str, Any]) -> Converter:
    """One of a few values by their spelling, whatever the case of the letters."""
    folded = {spelling.casefold(): value for spelling, value in options.items()}
    expected = options_text(tuple(options))
    return Converter(expected, lambda text, _ctx: _look_up(folded, text), choices=tuple(options))


def options_text(options: tuple[str, ...]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join(part for part in (", ".join(options[:-1]), options[-1]) if part)


def _look_up(options: Mapping[str, Any], text: str) -> Any:
    try:
        return options[text.casefold()]
    except KeyError:
        raise ValueError("not among them") from None


def _checked(convert: Convert, check: Callable[[Any], bool]) -> Convert:
    def checked(text: str, ctx: Context) -> Any:
        value = convert(text, ctx)
        if not check(value):
            raise ValueError("out of range")
        return value

    return checked


def _checked_later(
    convert: Callable[[str, Context], Awaitable[Any]], check: Callable[[Any], bool]
) -> Convert:
    async def checked(text: str, ctx: Context) -> Any:
        value = await convert(text, ctx)
        if not check(value):
            raise ValueError("out of range")
        return value

    return checked


def parse_integer(text: str) -> int:
    """A whole number in ASCII digits that 64 bits hold."""
    if _INTEGER.fullmatch(text) is None or not -_INT64 <= (value := int(text)) < _INT64:
        raise ValueError("not a whole number")
    return value


def parse_number(text: str) -> float:
    """A finite number with a point for the decimals."""
    if _NUMBER.fullmatch(text) is None or abs(value := float(text)) == float("inf"):
        raise ValueError("not a number")
    return value


def parse_url(text: str) -> str:
    """An http or https address with a host and without a password; returned as it was typed."""
    parts = urlsplit(text)
    if (
        len(text) > _MAX_URL
        or not text.isprintable()
        or any(map(str.isspace, text))
        or parts.scheme.lower() not in {"http", "https"}
        or not parts.hostname
        or "@" in parts.netloc
        or parts.port == 0  # reading a port that is no number raises ValueError too
    ):
        raise ValueError("not an address")
    return text


TEXT: Final = plain("text", str)
INTEGER: Final = plain("a whole number", parse_integer)
NUMBER: Final = plain("a number", parse_number)
BOOLEAN: Final = plain("yes or no", lambda text: _look_up(_BOOLEANS, text))
URL: Final = plain("an address such as https://example.org", parse_url)
