"""A JSON array cut into its elements as its bytes arrive, in bounded memory. Sans-I/O.

Histories come whole (PROTOCOL.md 2) and grow for as long as an account lives, so they are never
held whole. Only the ends of the elements are found here; each element is then decoded, and so
checked, by itself. Where all of them decode, the array as a whole was valid JSON.
"""

from __future__ import annotations

import re
from typing import Final

MAX_ELEMENT_BYTES: Final = 12 * 1024 * 1024
"""More than any row has: an encrypted picture of 5 MB is 9 MB."""

_WHITESPACE: Final = b" \t\r\n"
_QUOTE, _COMMA, _CLOSE_ARRAY = b'",]'
_OPENING: Final = frozenset(b"[{")

# Each matches up to the next byte that changes anything, whole strings included: an element with
# no nested brackets costs two matches, however long it is. Possessive: nothing is kept to go back.
_STRING_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_TOP_LEVEL: Final = re.compile(
    rb'[^"\[\]{},]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"\[\]{},]*+)*+', re.DOTALL
)
_NESTED: Final = re.compile(
    rb'[^"\[\]{}]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"\[\]{}]*+)*+', re.DOTALL
)


class JsonStreamError(ValueError):
    """The bytes are not one JSON array, or they end before it does."""


class ArraySplitter:
    """Takes chunks as they come and gives back the elements that they complete.

    Args:
        max_element: how many bytes one element may have; a longer one is dropped and counted.
    """

    __slots__ = (
        "_depth",
        "_element",
        "_ended",
        "_escaped",
        "_in_string",
        "_max",
        "_size",
        "_started",
        "dropped",
    )

    def __init__(self, *, max_element: int = MAX_ELEMENT_BYTES) -> None:
        self._max = max_element
        self._element = bytearray()
        self._size = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._started = False
        self._ended = False
        self.dropped = 0
        """How many elements were too long."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the elements that end in `chunk`, undecoded.

        Raises:
            JsonStreamError: something else than whitespace stands before or after the array.
        """
        elements: list[bytes] = []
        start = position = self._open(chunk)
        while position < len(chunk) and not self._ended:
            position, at_end = self._advance(chunk, position)
            if at_end:
                self._hold(chunk[start : position - 1])
                elements += self._take()
                start = position
        if self._ended:
            _expect_whitespace(chunk[position:])
        else:
            self._hold(chunk[start:])
        return elements

    def finish(self) -> None:
        """Tell that no more bytes come.

        Raises:
            JsonStreamError: the array has not ended.
        """
        if not self._ended:
            raise JsonStreamError("the array ends early")

    def _open(self, chunk: bytes) -> int:
        """Return where in `chunk` the array's inside begins."""
        if self._depth or self._ended:
            return 0
        rest = chunk.lstrip(_WHITESPACE)
        if not rest:
            return len(chunk)
        if not rest.startswith(b"["):
            raise JsonStreamError("this is not an array")
        self._depth = 1
        return len(chunk) - len(rest) + 1

    def _advance(self, chunk: bytes, position: int) -> tuple[int, bool]:
        """Return the position behind the next byte that matters, and whether an element ends."""
        if self._in_string:
            return self._advance_in_string(chunk, position), False
        pattern = _TOP_LEVEL if self._depth == 1 else _NESTED
        position = _match_end(pattern, chunk, position)
        if position == len(chunk):
            return position, False
        byte = chunk[position]
        if byte == _QUOTE:
            self._in_string = True
        elif byte in _OPENING:
            self._depth += 1
        elif byte != _COMMA:
            self._close(byte)
        return position + 1, byte == _COMMA or self._ended

    def _advance_in_string(self, chunk: bytes, position: int) -> int:
        if self._escaped:
            self._escaped = False
            position += 1
        position = _match_end(_STRING_REST, chunk, position)
        if position == len(chunk):
            return position
        self._in_string = chunk[position] != _QUOTE
        self._escaped = self._in_string  # else it is a backslash, the chunk's last byte
        return position + 1

    def _close(self, byte: int) -> None:
        self._depth -= 1
        if not self._depth:
            if byte != _CLOSE_ARRAY:
                raise JsonStreamError("the array is closed by a brace")
            self._ended = True

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._max:
            self._element += piece
        else:
            self._element.clear()

    def _take(self) -> list[bytes]:
        """Return the element that was held, if it is one: `[]` has none, `[1,]` an empty one."""
        element, size = bytes(self._element), self._size
        self._element.clear()
        self._size = 0
        if size > self._max:
            self.dropped += 1
            return []
        if self._ended and not self._started and not element.strip(_WHITESPACE):
            return []
        self._started = True
        return [element]


def _match_end(pattern: re.Pattern[bytes], chunk: bytes, position: int) -> int:
    match = pattern.match(chunk, position)
    return match.end() if match else position


def _expect_whitespace(rest: bytes) -> None:
    if rest.strip(_WHITESPACE):
        raise JsonStreamError("something follows the array")
