"""How often: token buckets, as the generic cell rate algorithm keeps them.

A bucket is one number, the time at which it would be full again. Time is given, not looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Final

from chatbot.plugins.durations import Limit, Per, Rate

MAX_KEYS: Final = 10_000
"""How many buckets of one rate are kept; past it the one used longest ago is forgotten."""


class TokenBuckets:
    """One bucket for each key, all of one rate. Starts full, holds `rate.count` uses.

    Args:
        rate: how many uses, refilled evenly over its period.
        clock: ms, never going back.
        max_keys: how many buckets are kept at most.
    """

    __slots__ = ("_clock", "_full_at", "_max_keys", "rate")

    def __init__(self, rate: Rate, clock: Callable[[], int], *, max_keys: int = MAX_KEYS) -> None:
        self.rate = rate
        self._clock = clock
        self._max_keys = max_keys
        # In parts of a ms, `rate.count` to each, so that all of it is in whole numbers.
        self._full_at: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: Hashable) -> int:
        """Take one use out of a bucket.

        Returns:
            0 where there was one; otherwise in how many ms there will be, and nothing is taken.
        """
        now, one_use = self._clock() * self.rate.count, self.rate.period
        full_at = max(self._full_at.get(key, 0), now)
        missing = full_at + one_use - now - one_use * self.rate.count
        if missing > 0:
            return -(-missing // self.rate.count)
        self._full_at.pop(key, None)  # to be the last in order again
        self._full_at[key] = full_at + one_use
        if len(self._full_at) > self._max_keys:
            del self._full_at[next(iter(self._full_at))]
        return 0


class Cooldowns:
    """The cooldowns of all commands and filters.

    Args:
        clock: ms, never going back.
        max_keys: how many users or chats are remembered for each at most.
    """

    __slots__ = ("_buckets", "_clock", "_max_keys")

    def __init__(self, clock: Callable[[], int], *, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._buckets: dict[str, TokenBuckets] = {}

    def take(self, endpoint: str, limit: Limit | None, *, user: str, chat: str) -> int:
        """Count one use.

        Args:
            endpoint: its key.
            limit: its cooldown, None for none.
            user: who uses it.
            chat: where.

        Returns:
            0 where it may be used; otherwise in how many ms it may.
        """
        if limit is None:
            return 0
        buckets = self._buckets.get(endpoint)
        if buckets is None or buckets.rate != limit.rate:  # a reload brings another rate
            buckets = TokenBuckets(limit.rate, self._clock, max_keys=self._max_keys)
            self._buckets[endpoint] = buckets
        return buckets.take(_key(limit.per, user, chat))

    def keep(self, endpoints: Iterable[str]) -> None:
        """Forget all but these, after a reload."""
        kept = set(endpoints)
        self._buckets = {key: value for key, value in self._buckets.items() if key in kept}


def _key(per: Per, user: str, chat: str) -> Hashable:
    if per == "command":
        return None
    return user if per == "user" else chat
