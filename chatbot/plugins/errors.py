"""What goes wrong with plugins: at load (problems) and with what people type (usage errors)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from chatbot.plugins.source import Source


class DeclarationError(Exception):
    """A declaration cannot work. Raised while compiling; the loader turns it into a `Problem`."""


class UnknownTypeError(DeclarationError):
    """Nothing gives a parameter's type, and nothing reads it from text."""


class UsageError(Exception):
    """What somebody typed cannot be used; the text is answered in the chat.

    Handlers and converters may raise it too. The text is for the person who typed: it is shown
    as it is, so that foreign text in it should have gone through `sanitise`.
    """


class BadArgument(UsageError):  # noqa: N818 - the field's name for it
    """One argument is missing or wrong.

    Attributes:
        parameter: its name as the handler spells it.
        got: what was typed, made harmless and short; None where nothing was.
        expected: what belongs there, in words.
    """

    def __init__(self, parameter: str, *, got: str | None, expected: str) -> None:
        self.parameter = parameter
        self.got = got
        self.expected = expected
        # One fact a line: right-to-left text in one of them cannot reorder the others.
        found = f"got: {got}" if got is not None else "got: nothing"
        super().__init__(f"{parameter}: expected {expected}\n{found}")


class DialogEnded(Exception):  # noqa: N818 - an ending, as StopIteration is
    """A dialog is over before its answer came. It ends the handler that asked.

    Attributes:
        reason: `timeout`, `cancelled` or `reloaded`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the dialog ended: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps a plugin, or a part of the configuration, from working.

    Attributes:
        plugin: its name, or how it was listed where it did not get as far as a name.
        source: where it was declared, if that is known.
    """

    plugin: str
    message: str
    source: Source | None = None

    def __str__(self) -> str:
        where = f"{self.source}: " if self.source is not None else ""
        return f"{where}plugin {self.plugin!r}: {self.message}"


@dataclass(slots=True)
class Problems:
    """Collects every problem of one plugin, so that an author sees all of them at once."""

    plugin: str
    found: list[Problem] = field(default_factory=list)

    def add(self, message: str, source: Source | None = None) -> None:
        """Note one."""
        self.found.append(Problem(self.plugin, message, source))

    @contextmanager
    def collecting(self, what: str, source: Source | None = None) -> Iterator[None]:
        """Turn a `DeclarationError` of the block into problems and go on behind it.

        Args:
            what: which declaration is looked at, such as `roll()`.
            source: where it is.
        """
        try:
            yield
        except DeclarationError as error:
            for line in error.args:
                self.add(f"{what}: {line}", source)
