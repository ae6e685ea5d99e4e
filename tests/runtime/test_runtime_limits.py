from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chatbot.plugins.durations import Limit, Per, Rate
from chatbot.runtime.limits import Cooldowns, TokenBuckets


class Clock:
    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now


def test_a_full_bucket_gives_all_at_once_and_then_bit_by_bit() -> None:
    clock = Clock()
    buckets = TokenBuckets(Rate(5, 10_000), clock)
    assert [buckets.take("a") for _ in range(6)] == [0, 0, 0, 0, 0, 2_000]
    clock.now += 1_500
    assert buckets.take("a") == 500
    clock.now += 500
    assert [buckets.take("a"), buckets.take("a")] == [0, 2_000]
    clock.now += 60_000
    assert [buckets.take("a") for _ in range(6)] == [0, 0, 0, 0, 0, 2_000]


def test_buckets_do_not_touch_each_other() -> None:
    buckets = TokenBuckets(Rate(1, 1_000), Clock())
    assert [buckets.take("a"), buckets.take("b"), buckets.take("a")] == [0, 0, 1_000]


def test_what_is_waited_for_comes_true() -> None:
    clock = Clock()
    buckets = TokenBuckets(Rate(3, 1_000), clock)
    for _ in range(50):
        wait = buckets.take("a")
        clock.now += wait
        if wait:
            assert buckets.take("a") == 0


@given(
    st.integers(1, 7),
    st.integers(1, 5_000),
    st.lists(st.integers(0, 3_000), min_size=1, max_size=60),
)
def test_never_more_than_the_rate_allows(count: int, period: int, steps: list[int]) -> None:
    clock = Clock()
    buckets, granted = TokenBuckets(Rate(count, period), clock), [0]
    for step in steps:
        clock.now += step
        if buckets.take("a") == 0:
            granted.append(clock.now)
    times = granted[1:]
    # In any stretch there are at most as many as a full bucket and what was refilled meanwhile.
    for first in range(len(times)):
        for last in range(first, len(times)):
            refilled = (times[last] - times[first]) * count / period
            assert last - first + 1 <= count + refilled + 1e-9
    assert all(before <= after for before, after in pairwise(times))


def test_memory_is_bounded_and_the_oldest_is_forgotten_first() -> None:
    buckets = TokenBuckets(Rate(1, 1_000), Clock(), max_keys=3)
    for key in "abcabcd":
        buckets.take(key)
    assert len(buckets) == 3
    assert buckets.take("d") == 1_000
    assert buckets.take("a") == 0


def test_cooldowns_count_for_a_user_a_chat_or_everybody() -> None:
    def uses(per: Per) -> list[int]:
        cooldowns, limit = Cooldowns(Clock()), Limit(Rate(1, 1_000), per)
        people = (("alice", "x"), ("bob", "x"), ("alice", "y"))
        return [cooldowns.take("go", limit, user=user, chat=chat) for user, chat in people]

    assert uses("user") == [0, 0, 1_000]
    assert uses("chat") == [0, 1_000, 0]
    assert uses("command") == [0, 1_000, 1_000]


def test_commands_have_cooldowns_of_their_own_or_none() -> None:
    cooldowns, limit = Cooldowns(Clock()), Limit(Rate(1, 1_000))
    assert cooldowns.take("go", limit, user="a", chat="x") == 0
    assert cooldowns.take("stay", limit, user="a", chat="x") == 0
    assert cooldowns.take("free", None, user="a", chat="x") == 0
    assert cooldowns.take("go", limit, user="a", chat="x") == 1_000


def test_a_reload_forgets_what_is_gone_and_keeps_what_stays() -> None:
    cooldowns, limit = Cooldowns(Clock()), Limit(Rate(1, 1_000))
    for endpoint in ("go", "stay"):
        cooldowns.take(endpoint, limit, user="a", chat="x")
    cooldowns.keep(["stay"])
    assert cooldowns.take("stay", Limit(Rate(1, 1_000)), user="a", chat="x") == 1_000
    assert cooldowns.take("go", limit, user="a", chat="x") == 0
    assert cooldowns.take("stay", Limit(Rate(2, 1_000)), user="a", chat="x") == 0
