"""What is counted. Plain numbers, for a person's status and for whatever scrapes them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

SECONDS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)
"""Upper bounds of the durations that are told apart."""

SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 500)
"""Upper bounds of the numbers of units in a transaction that are told apart."""


class Histogram:
    """How often something was how large.

    Attributes:
        bounds: upper bounds, ascending.
        buckets: how many were at most the bound of the same index; one more for all others.
        total: all of them together.
    """

    __slots__ = ("bounds", "buckets", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.buckets)


@dataclass(slots=True)
class Metrics:
    """One bot's counters, since its start. No user ids, no content.

    Attributes:
        messages_in: handled messages by the kind of chat.
        messages_out: messages that handlers and jobs sent, by the kind of chat.
        outcomes: ends of handlers by plugin and `ok`, `usage`, `failed`, `timeout`, `dialog`.
        refused: by the reason's rule (`role`, `denial`, `cooldown` …).
        retried, parked: messages and job runs that were put off, and given up.
        undecryptable: messages that could not be decrypted, by reason.
        connections: how often the socket came up, the first time included.
        job_runs: by plugin and outcome.
        handler_seconds: how long handlers took, waiting for answers not counted.
        commit_units: how many units of work went into each transaction.
        commit_seconds: how long the transactions took.
    """

    messages_in: Counter[str] = field(default_factory=Counter)
    messages_out: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    parked: int = 0
    undecryptable: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    job_runs: Counter[tuple[str, str]] = field(default_factory=Counter)
    handler_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    commit_units: Histogram = field(default_factory=lambda: Histogram(SIZES))
    commit_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))

    @property
    def reconnects(self) -> int:
        """How often the socket came up again."""
        return max(0, self.connections - 1)

    def committed(self, units: int, seconds: float) -> None:
        """A transaction was written: a listener of the database."""
        self.commit_units.add(units)
        self.commit_seconds.add(seconds)
