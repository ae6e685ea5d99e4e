"""What warnings add up to, and what follows from it. Pure: time and cases are given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from chatbot.plugins.builtin.moderation.cases import Case

Sanction: TypeAlias = Literal["kick", "ban"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What somebody gets who has so many points.

    Attributes:
        lasts: how long (ms) a ban lasts, None for good.
    """

    points: int
    sanction: Sanction
    lasts: int | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Somebody's points.

    Attributes:
        proven: of warnings for what they certainly wrote.
        claimed: of all warnings, those among them whose message anybody could have forged.
    """

    proven: int = 0
    claimed: int = 0


def tally(cases: Iterable[Case], now: int, lasts: int, *, rehearsed: bool = False) -> Tally:
    """The points of warnings that still stand.

    Args:
        cases: somebody's, in one group.
        now: ms.
        lasts: how long (ms) a warning counts.
        rehearsed: count those of a dry run as well.
    """
    states = {"done", "dry"} if rehearsed else {"done"}
    counting = [
        case
        for case in cases
        if case.kind == "warn" and case.state in states and now - case.at < lasts
    ]
    return Tally(
        sum(case.points for case in counting if case.proven),
        sum(case.points for case in counting),
    )


def step_reached(before: int, after: int, steps: Sequence[Step]) -> Step | None:
    """The hardest step that is reached by going from `before` points to `after`."""
    reached = [step for step in steps if before < step.points <= after]
    return max(reached, key=lambda step: step.points, default=None)


@dataclass(frozen=True, slots=True)
class Consequence:
    """What follows from a warning.

    Attributes:
        certain: it may be done; otherwise a moderator has to decide.
    """

    step: Step
    certain: bool


def consequence(before: Tally, after: Tally, steps: Sequence[Step]) -> Consequence | None:
    """What a warning leads to: proven points lead to deeds, forgeable ones to proposals only."""
    claimed = step_reached(before.claimed, after.claimed, steps)
    proven = step_reached(before.proven, after.proven, steps)
    if proven is not None and (claimed is None or proven.points >= claimed.points):
        return Consequence(proven, certain=True)
    return None if claimed is None else Consequence(claimed, certain=False)
