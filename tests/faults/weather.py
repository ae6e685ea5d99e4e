"""What goes wrong on the way between a client and its backend, how often, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeVar

Fate = TypeVar("Fate", bound=str)

Incoming = Literal["pass", "delay", "drop", "duplicate", "reorder", "corrupt", "cut", "deafen"]
"""A frame to the client: late (and all behind it), lost, twice, overtaken by later ones, damaged;
or the connection breaks, or nothing more comes through it though it stays open."""

Outgoing = Literal["pass", "delay", "drop", "cut"]
"""A frame from the client. Never twice: a duplicate would break any browser's ratchet, and no
client can help that. Never out of order: a socket keeps what it is given in order."""

Call = Literal["pass", "delay", "refuse", "cut before", "cut after", "hang"]
"""A REST call: late, a 500, broken off before or after the backend has done what it asks for, or
without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad the network is.

    Attributes:
        incoming: the share of frames to the client that meet each fate.
        outgoing: of frames from it.
        calls: of its REST calls.
        delay: the longest delay (seconds).
        hang: how long (seconds) a call hangs until its connection breaks.
    """

    incoming: Mapping[Incoming, float] = field(default_factory=dict)
    outgoing: Mapping[Outgoing, float] = field(default_factory=dict)
    calls: Mapping[Call, float] = field(default_factory=dict)
    delay: float = 0.3
    hang: float = 5.0


CALM = Weather()

STORM = Weather(
    incoming={
        "delay": 0.03,
        "drop": 0.01,
        "duplicate": 0.01,
        "reorder": 0.02,
        "corrupt": 0.005,
        "cut": 0.001,
        "deafen": 0.0005,
    },
    outgoing={"delay": 0.02, "drop": 0.01, "cut": 0.002},
    calls={
        "delay": 0.1,
        "refuse": 0.03,
        "cut before": 0.01,
        "cut after": 0.02,
        "hang": 0.005,
    },
)
"""Everything at once; nothing so often that nothing else ever happens."""


class Fates:
    """What happens to one connection's frames, or to the calls, in their order.

    Args:
        name: which of them; the same seed and name bring the same fates again.
    """

    def __init__(self, seed: int, name: str) -> None:
        self._random = Random(f"{seed} {name}")

    def incoming(self, weather: Weather) -> Incoming:
        """The next frame's to the client."""
        return self._draw(weather.incoming, "pass")

    def outgoing(self, weather: Weather) -> Outgoing:
        """The next frame's from the client."""
        return self._draw(weather.outgoing, "pass")

    def call(self, weather: Weather) -> Call:
        """The next call's."""
        return self._draw(weather.calls, "pass")

    def seconds(self, longest: float) -> float:
        """A time up to the longest."""
        return self._random.uniform(0, longest)

    def place(self, length: int) -> int:
        """An index into something of this length, which is not 0."""
        return self._random.randrange(length)

    def damage(self, text: str) -> str:
        """The text with one character changed, or without its end."""
        if not text:
            return text
        at = self.place(len(text))
        if self._random.random() < 0.2:
            return text[:at]
        return text[:at] + self._random.choice('A7{}"\\\u00e9 ') + text[at + 1 :]

    def _draw(self, shares: Mapping[Fate, float], otherwise: Fate) -> Fate:
        left = self._random.random()
        for fate, share in shares.items():
            left -= share
            if left < 0:
                return fate
        return otherwise
