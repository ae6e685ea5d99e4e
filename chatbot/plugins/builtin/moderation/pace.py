"""How fast somebody writes: flood control and slow mode, as steps from one pace to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
        accepted: ms, when they last wrote and did not have to wait; slow mode counts from it.
        reminded: whether they were told since then that they have to wait.
    """

    times: tuple[int, ...] = ()
    accepted: int | None = None
    reminded: bool = False


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
    period = 0 if flood is None else flood.period
    times = (*(t for t in pace.times if at - t < period), at)[-MAX_KEPT:]
    if flood is not None and len(times) > flood.count:
        return replace(pace, times=()), "flood"
    if slow and pace.accepted is not None and at - pace.accepted < slow:
        # Too early a message does not make the next one wait longer.
        kept = Pace(times=times, accepted=pace.accepted, reminded=True)
        return kept, None if pace.reminded else "slow"
    return Pace(times=times, accepted=at), None
