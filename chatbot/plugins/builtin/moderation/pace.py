"""How fast somebody writes: flood control and slow mode, as steps from one pace to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from chatbot.plugins.durations import Rate

Breach: TypeAlias = Literal["flood", "slow"]

MAX_KEPT: Final = 100
"""How many messages of somebody are remembered: the largest count that a rate can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When somebody wrote of late.

    Attributes:
        times: ms, in order, at most `MAX_KEPT`; forgotten when a flood was called one.
        reminded_until: ms; before it a breach of slow mode is not called one again.
    """

    times: tuple[int, ...] = ()
    reminded_until: int = 0


def observe(
    pace: Pace, at: int, *, flood: Rate | None, slow: int = 0
) -> tuple[Pace, Breach | None]:
    """Note a message.

    Args:
        pace: the writer's until now.
        at: ms, by the backend's clock.
        flood: more messages than its count in its period are a flood; None: never.
        slow: how long (ms) somebody has to wait between messages; 0: not at all.

    Returns:
        The writer's pace from now on, and what was wrong with it. A flood is called one once,
        then the count begins anew; slow mode reminds once in each wait.
    """
    last = pace.times[-1] if pace.times else None
    at = at if last is None else max(at, last)  # a clock that went back makes nobody faster
    span = max(slow, 0 if flood is None else flood.period)
    times = (*(t for t in pace.times if at - t < span), at)[-MAX_KEPT:]
    if flood is not None and sum(at - t < flood.period for t in times) > flood.count:
        return Pace(reminded_until=pace.reminded_until), "flood"
    if slow and last is not None and at - last < slow:
        # Too early a message does not make the next one wait longer.
        kept = Pace(times=times, reminded_until=max(pace.reminded_until, last + slow))
        return kept, "slow" if at >= pace.reminded_until else None
    return Pace(times=times, reminded_until=pace.reminded_until), None
