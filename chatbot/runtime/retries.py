"""Messages whose handlers failed: tried again later and later, then parked."""

from __future__ import annotations

import heapq
import secrets
import sqlite3
from collections.abc import Callable
from typing import Final

from chatbot.client.storage.batch import Unit
from chatbot.runtime.clock import Clock, Timer

TRIES: Final = 3
"""How often a message is tried before it is parked."""

FIRST_DELAY: Final = 1_000
"""The time (ms) to the second try; each further one takes four times as long."""

LONGEST_DELAY: Final = 15 * 60_000

_GROWTH: Final = 4


def delay(failures: int) -> int:
    """How long (ms) to wait behind so many failures, at least one."""
    grown: int = FIRST_DELAY * _GROWTH ** min(failures - 1, 16)
    return min(grown, LONGEST_DELAY)


def reference() -> str:
    """What a person can quote and an operator can find in the log."""
    return secrets.token_hex(4)


class Due:
    """Things to be done at a time, each known by a number; at most one timer runs.

    Args:
        do: called with the number when its time has come.
    """

    def __init__(self, clock: Clock, do: Callable[[int], None]) -> None:
        self._clock = clock
        self._do = do
        self._heap: list[tuple[int, int]] = []
        self._timer: Timer | None = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._heap)

    def add(self, when: int, number: int) -> None:
        """Do it once it is `when` (ms)."""
        heapq.heappush(self._heap, (when, number))
        self._arm()

    def close(self) -> None:
        """Do nothing any more."""
        self._heap.clear()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = self._clock.call_at(self._heap[0][0], self._ring)

    def _ring(self) -> None:
        while self._heap and self._heap[0][0] <= self._clock.now():
            _, number = heapq.heappop(self._heap)
            self._do(number)
        self._arm()


def put_off(seq: int, attempts: int, not_before: int, error: str) -> Unit[None]:
    """Note that handling an inbox entry failed, and when it is tried again (ms)."""

    def unit(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE inbox SET attempts = ?, not_before = ?, error = ? WHERE seq = ?",
            (attempts, not_before, error, seq),
        )

    return unit


def park(seq: int, attempts: int, error: str) -> Unit[None]:
    """Give an inbox entry up; it is kept for a person to look at."""

    def unit(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE inbox SET state = 'parked', attempts = ?, error = ? WHERE seq = ?",
            (attempts, error, seq),
        )

    return unit
