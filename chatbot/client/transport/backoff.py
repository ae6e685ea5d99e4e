"""How long to wait before trying again: exponential, bounded, and never in step with others."""

from __future__ import annotations

from collections.abc import Callable
from random import random as uniform


class Backoff:
    """The delays between the attempts to reach a backend again.

    The first attempt is made at once. The base delay then comes twice, which ends an outage no
    longer than it within another such delay, however the jitter falls; after that it doubles.

    Args:
        base: seconds before the second attempt.
        cap: the longest delay in seconds.
        random: a number in [0, 1); it takes up to a fifth off each delay.
    """

    __slots__ = ("_base", "_cap", "_random", "attempts")

    def __init__(
        self,
        *,
        base: float = 3.0,
        cap: float = 30.0,
        random: Callable[[], float] = uniform,
    ) -> None:
        self._base = base
        self._cap = cap
        self._random = random
        self.attempts = 0
        """How many delays were handed out since the last reset."""

    def next_delay(self) -> float:
        """Return the seconds to wait before the next attempt."""
        step = self.attempts
        self.attempts += 1
        if step == 0:
            return 0.0
        # The exponent is bounded too: an outage of days must not overflow a float.
        delay = min(self._cap, self._base * 2.0 ** min(max(0, step - 2), 30))
        return delay * (1.0 - 0.2 * self._random())

    def reset(self) -> None:
        """Start over: the connection has proven itself."""
        self.attempts = 0
