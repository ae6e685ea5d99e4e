from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from chatbot.client.transport.backoff import Backoff

JITTER = st.lists(st.floats(0, 1, exclude_max=True), min_size=12, max_size=12)


def delays(backoff: Backoff, count: int) -> list[float]:
    return [backoff.next_delay() for _ in range(count)]


def jittered(values: list[float]) -> Backoff:
    left: Iterator[float] = iter(values)
    return Backoff(random=lambda: next(left))


def test_at_once_then_exponential_from_three_seconds_to_thirty() -> None:
    backoff = Backoff(random=lambda: 0.0)
    assert delays(backoff, 8) == [0, 3, 3, 6, 12, 24, 30, 30]
    assert backoff.attempts == 8
    backoff.reset()
    assert delays(backoff, 2) == [0, 3]


def test_an_outage_of_days_does_not_overflow() -> None:
    backoff = Backoff(random=lambda: 0.0)
    assert delays(backoff, 5000)[-1] == 30


@given(JITTER)
def test_jitter_only_shortens_and_by_a_fifth_at_most(values: list[float]) -> None:
    exact = delays(Backoff(random=lambda: 0.0), 12)
    for delay, bound in zip(delays(jittered(values), 12), exact, strict=True):
        assert 0.8 * bound <= delay <= bound


@given(JITTER, st.floats(0, 3))
def test_a_short_outage_is_over_within_three_seconds_of_its_end(
    values: list[float], outage: float
) -> None:
    backoff, now = jittered(values), 0.0
    while (now := now + backoff.next_delay()) < outage:
        pass
    assert now - outage <= 3.0 + 1e-9
