"""What is counted. Plain numbers, for a person's status and for whatever scrapes them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

BUCKETS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)
"""Upper bounds (s) of the durations that are told apart."""


@dataclass(slots=True)
class Durations:
    """How long something took, as a histogram.

    Attributes:
        buckets: how many took at most the bound of the same index; one more for all others.
        total: seconds, all of them together.
    """

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        place = next((i for i, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        self.buckets[place] += 1
        self.total += seconds

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
        job_runs: by plugin and outcome.
        handler_seconds: how long handlers took, waiting for answers not counted.
        commit_units: how many units of work went into transactions.
        commits: how many transactions there were.
        commit_seconds: how long they took.
    """

    messages_in: Counter[str] = field(default_factory=Counter)
    messages_out: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    parked: int = 0
    undecryptable: int = 0
    job_runs: Counter[tuple[str, str]] = field(default_factory=Counter)
    handler_seconds: Durations = field(default_factory=Durations)
    commit_units: int = 0
    commits: int = 0
    commit_seconds: Durations = field(default_factory=Durations)

    def committed(self, units: int, seconds: float) -> None:
        """A transaction was written: a listener of the database."""
        self.commits += 1
        self.commit_units += units
        self.commit_seconds.add(seconds)
