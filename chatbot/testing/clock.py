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
        """Call back on the event loop once it is `when` (ms), or the clock was set back."""
        return self._arm(MovableTimer(self, when, callback))

    def call_after(self, since: int, wait: int, callback: Callable[[], object]) -> MovableTimer:
        """Call back once `wait` (ms) has gone by since then, and never later than in `wait`."""
        when = min(since, self.now()) + wait
        return self._arm(MovableTimer(self, when, callback, is_wait=True))

    def advance(self, milliseconds: int) -> None:
        """Move on, or back; what has become due is called back at once."""
        self._ahead += milliseconds
        for timer in list(self._timers):
            if milliseconds < 0:
                timer.set_back(milliseconds)
            timer.arm()

    def _arm(self, timer: MovableTimer) -> MovableTimer:
        self._timers.add(timer)
        timer.arm()
        return timer

    def forget(self, timer: MovableTimer) -> None:
        """A timer has rung, or never will."""
        self._timers.discard(timer)


class MovableTimer:
    """Something that will happen at a time of a movable clock.

    Args:
        when: ms.
        is_wait: whether it stands for how long something takes, which no setting of clocks changes.
    """

    def __init__(
        self,
        clock: MovableClock,
        when: int,
        callback: Callable[[], object],
        *,
        is_wait: bool = False,
    ) -> None:
        self._clock = clock
        self._when = when
        self._is_wait = is_wait
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """Wait for as long as it takes by the clock's present time."""
        if self._handle is not None:
            self._handle.cancel()
        delay = max(0, self._when - self._clock.now()) / 1000
        self._handle = asyncio.get_running_loop().call_later(delay, self._ring)

    def set_back(self, milliseconds: int) -> None:
        """The clock was set back by so much, which is negative."""
        self._when = self._when + milliseconds if self._is_wait else self._clock.now()

    def cancel(self) -> None:
        """It will not happen."""
        self._clock.forget(self)
        if self._handle is not None:
            self._handle.cancel()

    def _ring(self) -> None:
        self._clock.forget(self)
        self._callback()
