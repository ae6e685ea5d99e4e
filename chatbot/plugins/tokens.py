"""The words of a line: split at white space, with quotes around what belongs together.

Words are read one at a time and no further than wanted, so that the rest of a line can be handed
on as it was typed. The time is linear in the length of the line, whatever is in it.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

from msgspec import Struct

from chatbot.plugins.errors import UsageError

# Possessive quantifiers: nothing is ever tried twice. A quote only opens at the start of a word,
# so that an apostrophe or an inch sign inside one means itself. Each alternative but the last has
# two groups: what stands between the quotes, and the closing one, empty where it is missing.
_QUOTES: Final = (('"', '"'), ("“", "”"), ("„", "“”"), ("«", "»"))
_TOKEN: Final = re.compile(
    r"\s*+(?:"
    + "|".join(rf"{start}((?:[^\\{end}]++|\\.)*+)([{end}]?)" for start, end in _QUOTES)
    + r"|(\S++))",
    re.DOTALL,
)
_WORD_GROUP: Final = _TOKEN.groups
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class Token(Struct, frozen=True):
    """One word.

    Attributes:
        text: without its quotes.
        start: where it begins in the line, its quote included.
        quoted: whether it stood in quotes: such a word is never an option.
        closed: False where the closing quote is missing.
    """

    text: str
    start: int
    quoted: bool = False
    closed: bool = True


class Tokens:
    """The words of one line, taken from the front."""

    __slots__ = ("_line", "_position", "_read")

    def __init__(self, line: str) -> None:
        self._line = line
        self._position = 0
        self._read: deque[Token] = deque()

    def peek(self, ahead: int = 0) -> Token | None:
        """The next word but `ahead`, or None where the line ends before it."""
        while len(self._read) <= ahead:
            token = self._next()
            if token is None:
                return None
            self._read.append(token)
        return self._read[ahead]

    def front(self) -> Token:
        """The next word.

        Raises:
            UsageError: there is none, or its closing quote is missing.
        """
        token = self.peek()
        if token is None or not token.closed:
            raise UsageError("a quotation mark is not closed" if token else "something is missing")
        return token

    def drop(self, ahead: int = 0) -> None:
        """Take the next word but `ahead` off; it has been peeked at."""
        del self._read[ahead]

    def rest(self) -> str:
        """Take everything that is left, as it was typed but for the white space around it."""
        token = self.peek()
        self._read.clear()
        self._position, start = len(self._line), token.start if token is not None else None
        return self._line[start:].rstrip() if start is not None else ""

    def _next(self) -> Token | None:
        found = _TOKEN.match(self._line, self._position)
        if found is None:  # nothing but white space is left
            return None
        self._position = found.end()
        return _token(found)


def first_word(line: str) -> tuple[str, str]:
    """The first word as it stands and what follows it: how a command is cut off its arguments."""
    parts = line.split(None, 1)
    return (parts[0] if parts else "", parts[1] if len(parts) > 1 else "")


def _token(found: re.Match[str]) -> Token:
    last = found.lastindex or _WORD_GROUP
    if last == _WORD_GROUP:
        return Token(found[last], found.start(last))
    text = _ESCAPED.sub(r"\1", found[last - 1])
    return Token(text, found.start(last - 1) - 1, quoted=True, closed=bool(found[last]))
