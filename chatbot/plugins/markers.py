"""What stands in `Annotated[...]` beside a parameter's type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds, both included; None leaves a side open.

    Of a number or a date its value, of text its length in characters, of a duration its length
    (`Range("1m", "7d")`), of a list how many it holds.
    """

    minimum: Any = None
    maximum: Any = None


@dataclass(frozen=True, slots=True)
class RestMarker:
    """The text is everything that is left of the line, quotes and all."""


@dataclass(frozen=True, slots=True)
class UrlMarker:
    """The text is an address: http or https, with a host and without a password in it."""


Rest: TypeAlias = Annotated[str, RestMarker()]
"""The rest of the line as it was typed: `async def say(ctx: Context, text: Rest) -> str`."""

Url: TypeAlias = Annotated[str, UrlMarker()]
"""An http or https address."""
