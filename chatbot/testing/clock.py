"""A clock that a test can move on, with everything that waits for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class MovableClock:
    """The machine's clock, and ahead of it by whatever it was advanced.

    It fulfils the runtime's `Clock`; as a plain call it gives ms since the epoch.
    """

    def __init__(self) -> None:
        self._ahead = 0
        self._timers: set[MovableTimer] = set()

    def __call__(self) -> int:
        """The time, ms since the epoch."""
        return self.now()

    def now(self) -> int:
        """The time, ms since the epoch."""
        return time.time_ns() // 1_000_000 + self._ahead

    def call_at(self, when: int, callback: Callable[[], object]) -> MovableTimer:
        """Call back on the event loop once it is `when` (ms)."""
        timer = MovableTimer(self, when, callback)
        self._timers.add(timer)
        timer.arm()
        return timer

    def advance(self, milliseconds: int) -> None:
        """Move on; what has become due is called back at once."""
        self._ahead += milliseconds
        for timer in list(self._timers):
            timer.arm()

    def forget(self, timer: MovableTimer) -> None:
        """A timer has rung, or never will."""
        self._timers.discard(timer)


class MovableTimer:
    """Something that will happen at a time of a movable clock."""

    def __init__(self, clock: MovableClock, when: int, callback: Callable[[], object]) -> None:
        self._clock = clock
        self._when = when
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """Wait for as long as it takes by the clock's present time."""
        if self._handle is not None:
            self._handle.cancel()
        delay = max(0, self._when - self._clock.now()) / 1000
        self._handle = asyncio.get_running_loop().call_later(delay, self._ring)

    def cancel(self) -> None:
        """It will not happen."""
        self._clock.forget(self)
        if self._handle is not None:
            self._handle.cancel()

    def _ring(self) -> None:
        self._clock.forget(self)
        self._callback()
