"""Text that strangers typed: what is refused, and how it is shown."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from chatbot.plugins.errors import UsageError

MAX_ARGUMENT_TEXT: Final = 10_000
"""The longest text behind a command's name that is read, in characters."""

SHOWN: Final = 40
"""How much of a wrong argument is repeated in the answer, in characters."""

_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# Control characters but tab and line ends; direction overrides, embeddings and isolates; lone
# surrogates, which no UTF-8 text can hold. Left-to-right marks and joiners stay: ordinary Hebrew,
# Persian and emoji need them.
_REFUSED: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def check_text(text: str) -> None:
    """Refuse what no argument may hold, in time linear in its length.

    Raises:
        UsageError: longer than `MAX_ARGUMENT_TEXT`, or with control or direction-changing
            characters.
    """
    if len(text) > MAX_ARGUMENT_TEXT:
        raise UsageError(f"too long: {len(text)} characters, at most {MAX_ARGUMENT_TEXT} are read")
    if (found := _REFUSED.search(text)) is not None:
        raise UsageError(
            f"the text holds a control or direction-changing character "
            f"(U+{ord(found[0]):04X} at position {found.start() + 1})"
        )


def sanitise(text: str, limit: int = SHOWN) -> str:
    """Text that is safe to repeat: short, on one line, nothing invisible in it.

    What cannot be seen or changes the direction of text is spelled out as `<U+202E>`.

    Args:
        text: anything.
        limit: how many characters of `text` are kept at most.
    """
    shown = "".join(_visible(character) for character in text[:limit])
    return shown + "…" if len(text) > limit else shown


def quoted(text: str, limit: int = SHOWN) -> str:
    """The same in quotation marks."""
    return f'"{sanitise(text, limit)}"'


def _visible(character: str) -> str:
    if unicodedata.category(character) in _HIDDEN_CATEGORIES:
        return f"<U+{ord(character):04X}>"
    return character
