"""Messages whose handlers failed: tried again later and later, then parked."""

from __future__ import annotations

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
    """Things to be done in a while, each known by a number.

    Args:
        do: called with the number when its time has come.
    """

    def __init__(self, clock: Clock, do: Callable[[int], None]) -> None:
        self._clock = clock
        self._do = do
        self._timers: dict[int, Timer] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._timers)

    def add(self, wait: int, number: int) -> None:
        """Do it in `wait` (ms)."""
        now = self._clock.now()
        self._timers[number] = self._clock.call_after(now, wait, lambda: self._ring(number))

    def close(self) -> None:
        """Do nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _ring(self, number: int) -> None:
        del self._timers[number]
        self._do(number)


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
