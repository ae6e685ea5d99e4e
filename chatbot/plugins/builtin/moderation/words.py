"""Whether a text holds one of some words or phrases, however they are spelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from chatbot.plugins.builtin.moderation.folding import skeletons, words

MAX_PHRASE: Final = 8
"""The longest phrase, in words: looking for one takes time linear in text and phrase."""


@dataclass(frozen=True, slots=True)
class WordList:
    """Words and phrases, found by their first word.

    Attributes:
        phrases: by the first word, each with how it was listed.
    """

    phrases: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, listed: Iterable[str]) -> WordList:
        """The list of these; what holds no letter or digit is left out."""
        phrases: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {}
        for entry in listed:
            for skeleton in skeletons(entry):
                spelled = words(skeleton)
                if 0 < len(spelled) <= MAX_PHRASE:
                    before = phrases.get(spelled[0], ())
                    phrases[spelled[0]] = (*before, (spelled, entry))
        return cls(phrases)

    def find(self, text: str) -> str | None:
        """The first entry that the text holds, as it was listed."""
        if not self.phrases:
            return None
        for skeleton in skeletons(text):
            if (found := self._in_words(words(skeleton))) is not None:
                return found
        return None

    def _in_words(self, spelled: tuple[str, ...]) -> str | None:
        for at, word in enumerate(spelled):
            for phrase, entry in self.phrases.get(word, ()):
                if spelled[at : at + len(phrase)] == phrase:
                    return entry
        return None


@lru_cache(maxsize=64)
def word_list(listed: tuple[str, ...]) -> WordList:
    """`WordList.of`, made once for lists that are used again and again."""
    return WordList.of(listed)


def is_phrase(text: str) -> bool:
    """Whether it can be looked for: it has 1 to `MAX_PHRASE` words."""
    return all(0 < len(words(skeleton)) <= MAX_PHRASE for skeleton in skeletons(text))
