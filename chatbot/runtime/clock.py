"""The time, and being called at one: what tests put a clock of their own in place of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

LONGEST_WAIT: Final = 60_000
"""The wall clock is looked at again after this long (ms): it may have been set meanwhile."""


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None:
        """It will not."""


class Clock(Protocol):
    """Milliseconds since the epoch."""

    def now(self) -> int:
        """The time."""

    def call_at(self, when: int, callback: Callable[[], object]) -> Timer:
        """Call back on the event loop once it is `when` (ms), or the clock was set back."""

    def call_after(self, since: int, wait: int, callback: Callable[[], object]) -> Timer:
        """Call back once `wait` (ms) has gone by since then, and never later than in `wait`."""


class SystemClock:
    """The machine's."""

    def now(self) -> int:
        """The time."""
        return time.time_ns() // 1_000_000

    def call_at(self, when: int, callback: Callable[[], object]) -> Timer:
        """Call back on the event loop once it is `when` (ms), or the clock was set back."""
        return _Alarm(self, when, callback)

    def call_after(self, since: int, wait: int, callback: Callable[[], object]) -> Timer:
        """Call back once `wait` (ms) has gone by since then, and never later than in `wait`."""
        left = min(max(0, since + wait - self.now()), wait)
        return asyncio.get_running_loop().call_later(left / 1000, callback)


class _Alarm:
    __slots__ = ("_armed_at", "_callback", "_clock", "_handle", "_when")

    def __init__(self, clock: Clock, when: int, callback: Callable[[], object]) -> None:
        self._clock = clock
        self._when = when
        self._callback = callback
        self._handle = self._arm()

    def cancel(self) -> None:
        self._handle.cancel()

    def _arm(self) -> asyncio.TimerHandle:
        self._armed_at = self._clock.now()
        delay = min(max(0, self._when - self._armed_at), LONGEST_WAIT)
        return asyncio.get_running_loop().call_later(delay / 1000, self._ring)

    def _ring(self) -> None:
        if self._armed_at <= self._clock.now() < self._when:
            self._handle = self._arm()
        else:
            self._callback()
