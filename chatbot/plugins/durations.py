"""Lengths of time and rates, as people write them: "90s", "2h30m", "5/10s"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, TypeAlias, get_args

Per: TypeAlias = Literal["user", "chat", "command"]
"""Whose uses a cooldown counts: one user's, one chat's, or everybody's of this command."""

_UNITS: Final = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_PART: Final = re.compile(r"([0-9]{1,9})(ms|[wdhms])", re.ASCII)
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_RATE: Final = re.compile(r"([0-9]{1,6})/([0-9a-z]{1,40})", re.ASCII)
_MAX_TEXT: Final = 40
_MAX_MS: Final = 100 * 365 * 86_400_000

EXPECTED_DURATION: Final = "a length of time such as 90s, 10m or 2h30m"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many uses in a stretch of time.

    Attributes:
        count: how many, at least 1.
        period: in how many ms, at least 1.
    """

    count: int
    period: int


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate, and whose uses it counts."""

    rate: Rate
    per: Per = "user"


@dataclass(frozen=True, slots=True)
class Cooldown:
    """How often a command may be used: `Cooldown("1/1m", per="chat")`."""

    rate: str
    per: Per = "user"


def parse_duration(text: str) -> int:
    """Milliseconds of "90s", "10m", "2h30m", "1d", "2w" or "250ms".

    Raises:
        ValueError: anything else, nothing at all, or more than a hundred years.
    """
    folded = text.casefold()
    if len(text) > _MAX_TEXT or _WHOLE.fullmatch(folded) is None:
        raise ValueError(f"expected {EXPECTED_DURATION}")
    total = sum(int(amount) * _UNITS[unit] for amount, unit in _PART.findall(folded))
    if not 0 < total <= _MAX_MS:
        raise ValueError("expected more than nothing and less than a hundred years")
    return total


def milliseconds(duration: str | timedelta) -> int:
    """The same for whoever has a `timedelta` already.

    Raises:
        ValueError: not a duration, or not more than nothing.
    """
    if isinstance(duration, str):
        return parse_duration(duration)
    total = duration // timedelta(milliseconds=1)
    if total <= 0:
        raise ValueError("expected more than nothing")
    return total


def format_duration(ms: int) -> str:
    """The shortest spelling that `parse_duration` reads back: 9_000_000 is "2h30m"."""
    parts = []
    for unit, size in _UNITS.items():
        amount, ms = divmod(ms, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts) or "0s"


def parse_rate(text: str) -> Rate:
    """The rate of "5/10s": five uses in ten seconds. A bare unit counts as one: "1/m".

    Raises:
        ValueError: anything else, or a count of 0.
    """
    found = _RATE.fullmatch(text.strip().casefold())
    if found is None or int(found[1]) == 0:
        raise ValueError('expected a rate such as "5/10s"')
    period = found[2]
    return Rate(int(found[1]), parse_duration(period if period[0].isdigit() else f"1{period}"))


def parse_limit(cooldown: str | Cooldown | None) -> Limit | None:
    """What an author wrote as a cooldown.

    Raises:
        ValueError: not a rate, or an unknown `per`.
    """
    if cooldown is None:
        return None
    if isinstance(cooldown, str):
        return Limit(parse_rate(cooldown))
    if cooldown.per not in get_args(Per):
        raise ValueError(f"per={cooldown.per!r} is none of {', '.join(get_args(Per))}")
    return Limit(parse_rate(cooldown.rate), cooldown.per)
